"""`tidegate limits`: what an operator sees and resets, in a Redis that the ledger of a service filled."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from tidegate.admission.charges import charges_for
from tidegate.admission.redis import RedisLedger
from tidegate.cli import app
from tidegate.demo.redis_server import running_redis
from tidegate.policy import load_policy
from typer.testing import CliRunner, Result

POLICY = """\
version: 1
platform:
  floor: {limits: [{name: ip, algorithm: sliding_window, limit: 50, window: 1h, per: [client_ip]}]}
tiers:
  free:
    limits:
      - {name: rpm, algorithm: sliding_window, limit: 20, window: 1h, per: [subject]}
      - {name: trial, algorithm: sliding_window, limit: 30, window: 1h, per: [subject], shadow: true}
tenants:
  acme: {limits: [{name: month, algorithm: quota, limit: 1000, period: month, cost: tokens}]}
  globex: {}
"""
OWN = """\
version: 1
prices: {currency: EUR, default: {prompt: 1, completion: 1}}
tiers: {free: {limits: [{name: rpm, algorithm: sliding_window, limit: 20, window: 1h, per: [subject]}]}}
tenants:
  initech:
    limits: [{name: running, algorithm: concurrency, limit: 4, lease: 10m, per: [tenant]}]
    subjects:
      joan:
        limits:
          - {name: rpm, algorithm: sliding_window, limit: 5, window: 1h}
          - {name: spend, algorithm: quota, limit: 1, period: month, cost: money}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_redis(directory=tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    (tmp_path / "policy.yaml").write_text(POLICY)
    return tmp_path / "policy.yaml"


@pytest.fixture
def store(server: str, policy: Path) -> str:
    """A Redis in which ada and bob of acme, and a caller of globex, used something."""
    with redis.Redis.from_url(server) as client:
        client.flushall()
    loaded = load_policy(policy)

    async def use() -> None:
        ledger = RedisLedger(server, timeout=5.0)
        for tenant, subject, times in (("acme", "ada", 3), ("acme", "bob", 1), ("globex", "eve", 2)):
            caller = {"tenant": tenant, "subject": subject, "client_ip": "192.0.2.1"}
            charges = charges_for(loaded.caller_limits[tenant, "free"], caller, {"requests": 1, "tokens": 50})
            for _ in range(times):
                assert (await ledger.reserve(charges, hold=600)).refused is None
        await ledger.close()

    asyncio.run(use())
    return server


def limits(command: str, policy: Path, store: str, *flags: str, said: str = "", tenant: str = "acme") -> Result:
    arguments = ["limits", command, "--policy", str(policy), "--store", store, "--tenant", tenant, *flags]
    return CliRunner().invoke(app, arguments, input=said)


def shown(policy: Path, store: str, *flags: str, tenant: str = "acme") -> list[tuple[str, dict[str, str], int]]:
    result = limits("show", policy, store, "--json", *flags, tenant=tenant)
    assert result.exit_code == 0, result.output
    return [(one["limit"], one["key"], one["used"]) for one in json.loads(result.stdout)]


ALL: list[tuple[str, dict[str, Any], int]] = [
    ("rpm", {"subject": "ada"}, 3),
    ("rpm", {"subject": "bob"}, 1),
    ("trial", {"subject": "ada"}, 3),
    ("trial", {"subject": "bob"}, 1),
    ("month", {}, 200),
]


def test_a_table_says_how_every_limit_of_the_tenant_stands(policy: Path, store: str) -> None:
    result = limits("show", policy, store)
    assert result.exit_code == 0, result.output
    head, *rows = [line.split() for line in result.stdout.splitlines()]
    assert head == ["SCOPE", "LIMIT", "KEY", "USED", "OF", "UNIT", "LEFT", "RESETS", "IN", "HELD"]
    assert rows[0][:7] == ["tier:free", "rpm", "subject=ada", "3", "20", "requests", "17"]
    assert rows[0][7] in ("1h", "59m59s", "59m58s", "59m57s", "59m56s", "59m55s")
    assert rows[0][8:] == ["3", "(3)"]
    assert rows[2][:3] == ["tier:free", "trial", "(shadow)"]
    assert rows[4][:7] == ["tenant:acme", "month", "-", "200", "1000", "tokens", "800"]
    assert rows[4][8:] == ["200", "(4)"]
    assert len(rows) == 5


def test_json_says_the_same_to_programs(policy: Path, store: str) -> None:
    assert shown(policy, store) == ALL
    (month,) = json.loads(limits("show", policy, store, "--json", "--limit", "month").stdout)
    assert 0 < month.pop("reset_after_seconds") <= 31 * 86_400
    assert month == {
        "scope": "tenant:acme",
        "limit": "month",
        "algorithm": "quota",
        "unit": "tokens",
        "shadow": False,
        "key": {},
        "used": 200,
        "capacity": 1000,
        "remaining": 800,
        "held": 200,
        "reservations": 4,
    }


def test_limits_of_one_caller_and_units_that_are_no_requests(tmp_path: Path, store: str) -> None:
    (tmp_path / "other.yaml").write_text(OWN)
    loaded = load_policy(tmp_path / "other.yaml")

    async def use() -> None:
        ledger = RedisLedger(store, timeout=5.0)
        caller = {"tenant": "initech", "subject": "joan"}
        own = loaded.limits_of("initech", "free", "joan")
        assert (await ledger.reserve(charges_for(own, caller, {"requests": 1, "money": 70}), hold=600)).refused is None
        await ledger.close()

    asyncio.run(use())
    result = limits("show", tmp_path / "other.yaml", store, tenant="initech")
    assert [line.split()[:7] for line in result.stdout.splitlines()[1:]] == [
        ["tenant:initech", "running", "-", "1", "4", "places", "3"],
        ["subject:initech/joan", "rpm", "subject=joan", "1", "5", "requests", "4"],
        ["subject:initech/joan", "spend", "subject=joan", "70", "1000000", "micro-eur", "999930"],
    ]
    assert limits("reset", tmp_path / "other.yaml", store, "--yes", tenant="initech").exit_code == 0
    assert shown(tmp_path / "other.yaml", store, tenant="initech") == []


def test_it_can_be_narrowed(policy: Path, store: str) -> None:
    assert shown(policy, store, "--subject", "ada") == [ALL[0], ALL[2]]
    assert shown(policy, store, "--limit", "rpm", "--limit", "month") == [ALL[0], ALL[1], ALL[4]]
    assert shown(policy, store, "--limit", "rpm", "--subject", "bob") == [ALL[1]]
    assert shown(policy, store, "--subject", "nobody") == []
    assert limits("show", policy, store, "--subject", "nobody").stdout.splitlines() == [
        "nothing that tenant 'acme' used counts now"
    ]


def test_a_reset_asks_and_no_is_no(policy: Path, store: str) -> None:
    for answer in ("n\n", "\n", ""):
        result = limits("reset", policy, store, said=answer)
        assert result.exit_code == 1
        assert "Set 5 keys of tenant 'acme' back to unused?" in result.stderr
        assert result.stdout.strip() == answer.strip()  # the runner's echo
    assert shown(policy, store) == ALL


@pytest.mark.parametrize(("flags", "said"), [(["--yes"], ""), ([], "y\n")])
def test_a_reset_says_what_it_reset_and_logs_it(policy: Path, store: str, flags: list[str], said: str) -> None:
    result = limits("reset", policy, store, "--subject", "ada", *flags, said=said)
    assert result.exit_code == 0, result.output
    first, _, *rows = result.stdout[len(said) + 1 if said else 0 :].splitlines()
    assert first == "reset 2 keys of tenant 'acme', which stood at:"
    assert [row.split()[:2] for row in rows] == [["tier:free", "rpm"], ["tier:free", "trial"]]
    line = json.loads(result.stderr.splitlines()[-1][result.stderr.splitlines()[-1].index("{") :])
    assert (line["event"], line["level"], line["tenant"]) == ("limits reset", "info", "acme")
    assert line["limits"][0] == {"scope": "tier:free", "limit": "rpm", "key": {"subject": "ada"}, "used": 3}
    assert isinstance(line["by_uid"], int)
    assert store not in result.stderr
    assert shown(policy, store) == [ALL[1], ALL[3], ALL[4]]


def test_a_reset_leaves_other_tenants_and_what_is_shared(policy: Path, store: str) -> None:
    others = shown(policy, store, tenant="globex")
    result = limits("reset", policy, store, "--yes", "--json")
    assert [(one["limit"], one["key"], one["used"]) for one in json.loads(result.stdout)] == ALL
    assert shown(policy, store) == []
    assert (
        shown(policy, store, tenant="globex")
        == others
        == [
            ("rpm", {"subject": "eve"}, 2),
            ("trial", {"subject": "eve"}, 2),
        ]
    )
    with redis.Redis.from_url(store) as client:
        assert client.exists("tg|{platform|192.0.2.1}|ip|w|r")
    again = limits("reset", policy, store, "--yes")
    assert (again.exit_code, again.stdout) == (0, "nothing that tenant 'acme' used counts now\n")
    assert again.stderr == ""


@pytest.mark.parametrize("command", ["show", "reset"])
@pytest.mark.parametrize(
    ("store_url", "flags", "told"),
    [
        ("memory://", [], "--store: what is counted in memory:// can only be seen by the service itself"),
        ("disk://x", [], "--store: must be memory://, or begin with redis://, rediss://, unix://"),
        (None, ["--limit", "rps"], "--limit: the policy has no limit 'rps'"),
        ("redis://u:hidden-password@127.0.0.1:1", [], "the limit store failed: "),
        ("unix:///none/redis.sock", [], "the limit store failed: "),
    ],
)
def test_what_cannot_be_is_one_line(
    policy: Path, store: str, command: str, store_url: str | None, flags: list[str], told: str
) -> None:
    result = limits(command, policy, store_url or store, *flags)
    assert result.exit_code == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith(told)
    assert "hidden-password" not in line


def test_an_unknown_tenant_is_one_line(policy: Path, store: str) -> None:
    result = limits("show", policy, store, tenant="initech")
    assert (result.exit_code, result.stderr) == (2, "--tenant: the policy has no tenant 'initech'\n")


def test_a_policy_that_cannot_be_read_is_said(tmp_path: Path, store: str) -> None:
    result = limits("show", tmp_path / "none.yaml", store)
    assert result.exit_code == 2
    assert "none.yaml" in result.stderr
