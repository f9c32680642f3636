"""What an operator does while callers call: limits over two workers, keys revoked, policies broken."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml
from tidegate.demo.redis_server import RedisServer

from tests.admission.redis_cluster import RedisCluster
from tests.e2e.keys import POLICY
from tests.e2e.stack import Gate, running_gate, until
from tests.e2e.upstream import Upstream, chat, json_answer

LIMIT = 40


@pytest.fixture(params=["redis", "cluster"])
def redis(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RedisServer | RedisCluster]:
    directory = tmp_path / "redis"
    server = RedisServer(directory) if request.param == "redis" else RedisCluster(directory)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def shared(tmp_path: Path, upstream: Upstream, redis: RedisServer | RedisCluster) -> Iterator[Gate]:
    """Two workers that count in one Redis, or in one cluster."""
    policy = POLICY.replace("limit: 1, window", f"limit: {LIMIT}, window")
    flags = {"store": redis.url, "replicas": 2}
    with running_gate(tmp_path, upstream, workers=2, policy=policy, flags=flags) as gate:
        yield gate


async def burst(gate: Gate, count: int, key: str) -> Counter[int]:
    fields = gate.fields(json_answer(chat("hello")), key)
    async with httpx.AsyncClient(base_url=gate.base, timeout=30) as client:
        answers = await asyncio.gather(*(client.get("/predict/x", headers=fields) for _ in range(count)))
    return Counter(answer.status_code for answer in answers)


async def test_a_limit_holds_over_all_workers(shared: Gate, redis: RedisServer | RedisCluster) -> None:
    assert await burst(shared, 80, "metered-1") == {200: LIMIT, 429: 80 - LIMIT}
    assert min(shared.metric("tidegate_decisions_total", worker) for worker in range(2)) > 0
    redis.stop()
    # Each worker now enforces its half from memory: calls go on, and never without a limit.
    statuses = await burst(shared, 120, "metered-2")
    assert set(statuses) == {200, 429}
    assert 0 < statuses[200] <= LIMIT


def without(keys: Path, subject: str) -> None:
    document = yaml.safe_load(keys.read_text())
    document["keys"] = [entry for entry in document["keys"] if entry["subject"] != subject]
    keys.write_text(yaml.safe_dump(document))


def revokes(gate: Gate, keys: Path) -> None:
    """A key is refused once it is gone from the file, and another is not."""
    assert gate.get(json_answer(chat("hello"))).status_code == 200
    without(keys, "free")
    until(lambda: gate.get(json_answer(chat("hello"))).status_code == 401)
    assert gate.get(json_answer(chat("hello")), key="premium").status_code == 200


def test_a_revoked_key_is_refused_within_seconds(tmp_path: Path, upstream: Upstream) -> None:
    with running_gate(tmp_path, upstream) as gate:
        revokes(gate, tmp_path / "keys.yaml")


def test_a_key_is_revoked_also_while_the_policy_is_broken(tmp_path: Path, upstream: Upstream) -> None:
    with running_gate(tmp_path, upstream) as gate:
        (tmp_path / "policy.yaml").write_text(POLICY.replace("classification: restricted", "classification: typo"))
        until(lambda: gate.metric("tidegate_policy_reload_failures_total") == 1)
        revokes(gate, tmp_path / "keys.yaml")


def test_a_broken_policy_changes_nothing_and_is_counted(tmp_path: Path, upstream: Upstream) -> None:
    with running_gate(tmp_path, upstream) as gate:
        policy = tmp_path / "policy.yaml"
        policy.write_text(POLICY.replace("classification: restricted", "classification: typo"))
        until(lambda: gate.metric("tidegate_policy_reload_failures_total") == 1)
        assert gate.get(json_answer(chat("mail bob@example.com"))).json() == chat("mail [EMAIL]")
        policy.write_text(POLICY.replace("EMAIL, ", ""))
        until(lambda: gate.get(json_answer(chat("mail bob@example.com"))).json() == chat("mail bob@example.com"))


def test_keys_that_cannot_be_read_keep_the_policy_that_would_come_with_them(tmp_path: Path, upstream: Upstream) -> None:
    with running_gate(tmp_path, upstream) as gate:
        (tmp_path / "none.yaml").write_text("[" * 100_000)
        policy = tmp_path / "policy.yaml"
        policy.write_text(POLICY.replace("keys.yaml", "none.yaml").replace("EMAIL, ", ""))
        until(lambda: gate.metric("tidegate_policy_reload_failures_total") == 1)
        assert gate.get(json_answer(chat("mail bob@example.com"))).json() == chat("mail [EMAIL]")
        policy.write_text(POLICY.replace("EMAIL, ", ""))
        until(lambda: gate.get(json_answer(chat("mail bob@example.com"))).json() == chat("mail bob@example.com"))
