"""What is special about the engine in this process: how it is made, what it needs, and its thread."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from tidegate.errors import PolicyError
from tidegate.identity import key_edit, mint_key, revocation_file
from tidegate.identity.key_changes import revoked
from tidegate.identity.revocation import Revocation
from tidegate.policy import parse_policy
from tidegate_client import Allowed, Denied, LocalPolicy, LocalPolicySync
from tidegate_client.inprocess import InProcess

from tests.admission.world import SECOND, HandClock
from tests.client.world import HOST, PEPPER, POLICY, World
from tests.e2e.test_credentials import SHARED, shared

OPEN = POLICY.replace("    api_keys: {header: authorization, file: keys.yaml}", "    issuers: []")


def test_the_client_alone_does_not_import_the_service() -> None:
    script = (
        "import sys, tidegate_client\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "assert not loaded & {'tidegate', 'redis', 'pydantic', 'httpx', 're2', 'jose', 'yaml'}, loaded\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, timeout=60)


@pytest.mark.parametrize("kind", [LocalPolicy, LocalPolicySync])
def test_without_the_service_the_error_says_what_to_install(
    kind: type[LocalPolicy] | type[LocalPolicySync], monkeypatch: pytest.MonkeyPatch, world: World
) -> None:
    monkeypatch.delitem(sys.modules, "tidegate_client.inprocess", raising=False)
    monkeypatch.setitem(sys.modules, "tidegate.pipeline", None)
    with pytest.raises(ImportError, match=r"tidegate-client\[local\]"):
        kind(world.path, key_pepper=PEPPER)


def test_a_bad_policy_says_where(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("version: 1\ntears: {}\n")
    with pytest.raises(PolicyError, match=r"policy\.yaml:2"):
        LocalPolicySync(path)


def test_keys_need_their_pepper(world: World) -> None:
    with pytest.raises(PolicyError, match="pepper"):
        LocalPolicy(world.path)


async def test_a_compiled_policy_and_a_name_of_a_file_will_do(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(OPEN)
    for policy in (parse_policy(OPEN), path, str(path)):
        async with LocalPolicy(policy) as engine:
            assert (await engine.filter_text("bob@example.com", rulesets=["pii"])).text == "[EMAIL]"
            assert not (await engine.decide("POST", "/api/score", host=HOST)).allowed


def test_one_engine_serves_many_threads_and_counts_exactly(world: World) -> None:
    attributes = {"tenant": "acme", "tier": "premium", "subject": "ida", "model": "m"}
    admitted: list[bool] = []
    with LocalPolicySync(world.path, key_pepper=PEPPER) as engine:

        def work() -> None:
            for _ in range(50):
                admitted.append(engine.consume("chat", attributes, cost=10).admitted)
                assert "".join(engine.filter_stream(["bob@", "example.com"], rulesets=["pii"])) == "[EMAIL]"

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (admitted.count(True), len(admitted)) == (100, 200)


def test_its_thread_ends_with_it(world: World) -> None:
    engine = LocalPolicySync(world.path, key_pepper=PEPPER)
    engine.close()
    assert engine.filter_text("bob@example.com", rulesets=["pii"]).text == "[EMAIL]"
    assert any(thread.name == "tidegate-local" for thread in threading.enumerate())
    engine.close()
    engine.close()
    assert not any(thread.name == "tidegate-local" for thread in threading.enumerate())


REVOKED = """
version: 1
platform:
  identity:
    shared_secrets:
      - {name: app, secret_file: app.secret, claims: {defaults: {tenant: acme, tier: free, roles: [analyst]}}}
  revocation: {file: revoked.yaml, on_expiry: end_streams}
tiers: {free: {}}
tenants: {acme: {grants: [{role: analyst, endpoints: "*"}]}}
endpoints:
  read: {owner: acme, match: {hosts: "*", path: /read, methods: [GET]}}
"""


async def test_revoked_tokens_are_refused_here_too_and_what_runs_ends_with_its_token(tmp_path: Path) -> None:
    (tmp_path / "app.secret").write_bytes(SHARED)
    (tmp_path / "revoked.yaml").write_text("version: 1\nrevoked: [{token: t1}]\n")
    (tmp_path / "policy.yaml").write_text(REVOKED)
    async with LocalPolicy(tmp_path / "policy.yaml") as engine:

        async def decide(name: str, seconds: float) -> Allowed | Denied:
            token = shared(jti=name, exp=time.time() + seconds)
            return await engine.decide(
                "GET", "/read", host=HOST, headers={"authorization": f"Bearer {token}"}, exchange=True
            )

        refused, allowed = await decide("t1", 60), await decide("t2", 1)
        assert isinstance(refused, Denied)
        assert refused.status == 401
        assert isinstance(allowed, Allowed)
        async with engine.open_exchange(allowed) as exchange:
            await exchange.head(200, "text/event-stream")
            async with asyncio.timeout(10):
                while not (answer := await exchange.body(b"data: {}\n\n")).outcome:
                    await asyncio.sleep(0)
        assert answer.outcome == "expired"
        assert b"credential_expired" in answer.body


def test_a_policy_that_wants_every_decision_on_record_has_none_here() -> None:
    """It was taken, and nothing was put on record."""
    with pytest.raises(PolicyError, match=r"platform\.audit\.required: nothing is put on record"):
        LocalPolicy(parse_policy("version: 1\nplatform: {audit: {required: true}}\n"))


KEYED = REVOKED.replace("  identity:\n", "  identity:\n    api_keys: {header: x-api-key, file: keys.yaml}\n")


async def test_what_is_revoked_later_is_refused_here_too_within_a_second(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Keys and revoked tokens were read once: whoever was revoked went on until the process ended."""
    key, key_id, digest = mint_key(PEPPER)
    record = {"id": key_id, "hash": digest, "subject": "s", "tenant": "acme", "tier": "free", "roles": ["analyst"]}
    key_edit.append(tmp_path / "keys.yaml", record)
    (tmp_path / "app.secret").write_bytes(SHARED)
    (tmp_path / "revoked.yaml").write_text("version: 1\nrevoked: []\n")
    (tmp_path / "policy.yaml").write_text(KEYED)
    clock = HandClock(us=round(time.time() * SECOND))
    engine = LocalPolicy(tmp_path / "policy.yaml", key_pepper=PEPPER)
    engine._engine = InProcess(tmp_path / "policy.yaml", PEPPER, clock=clock)
    token = shared(jti="t1", exp=clock.now() + 60)

    async def statuses() -> list[int]:
        found = []
        for name, value in (("x-api-key", key), ("authorization", f"Bearer {token}")):
            verdict = await engine.decide("GET", "/read", host=HOST, headers={name: value})
            found.append(verdict.status if isinstance(verdict, Denied) else 200)
        return found

    assert await statuses() == [200, 200]
    (tmp_path / "keys.yaml").write_text("no keys")
    clock.us += SECOND
    assert await statuses() == [200, 200]
    assert "the old ones stay" in caplog.text
    key_edit.append(tmp_path / "new.yaml", record)
    key_edit.change(tmp_path / "new.yaml", key_id, lambda entry: revoked(entry, now=clock.now()))
    (tmp_path / "new.yaml").rename(tmp_path / "keys.yaml")
    revocation_file.add(tmp_path / "revoked.yaml", Revocation(token="t1"), now=clock.now())
    assert await statuses() == [200, 200]  # within the second nobody looks
    clock.us += SECOND
    assert await statuses() == [401, 401]
    await engine.close()


def test_revoked_tokens_in_a_store_are_not_to_be_had_here() -> None:
    with pytest.raises(PolicyError, match=r"platform\.revocation: no file"):
        LocalPolicy(parse_policy("version: 1\nplatform: {revocation: {}}\n"))


CHECKED = """
version: 1
tiers: {free: {}}
tenants: {acme: {}}
endpoints:
  chat:
    owner: acme
    match: {hosts: "*", path: /v1/chat, methods: [POST]}
    anonymous: {tier: free}
    limits: [{name: ip, algorithm: sliding_window, limit: 9, window: 60s, per: [client_ip]}]
    request: {rules: [{detect: [EMAIL], act: block}, {detect: [PHONE], act: annotate}], tell_upstream: true}
    structure: {answer: {schema: {type: object, required: [city]}}}
"""


async def test_requests_are_checked_here_as_behind_envoy() -> None:
    kind = {"content-type": "application/json"}
    async with LocalPolicy(parse_policy(CHECKED)) as engine:

        async def decide(body: bytes, *, partial: bool = False) -> Allowed | Denied:
            return await engine.decide(
                "POST", "/v1/chat", host=HOST, client_ip="192.0.2.1", headers=kind, body=body, body_partial=partial
            )

        refused = await decide(b'{"messages": [{"role": "user", "content": "mail bob@example.com"}]}')
        assert isinstance(refused, Denied)
        assert (refused.reason, refused.status) == ("prompt_refused", 403)
        assert b"bob" not in refused.body
        told = await decide(b'{"messages": [{"role": "user", "content": "call +44 20 7946 0018"}]}')
        assert isinstance(told, Allowed)
        assert dict(told.request_headers)["x-tidegate-prompt-findings"] == "PHONE:1"
        cut = await decide(b'{"messages": []}', partial=True)
        assert isinstance(cut, Denied)
        assert (cut.reason, cut.status) == ("request_malformed", 413)
