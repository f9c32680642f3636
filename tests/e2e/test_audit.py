"""The audit log of exchanges through a real Envoy: complete, joined, sound; and what happens when it cannot be kept."""

from __future__ import annotations

import asyncio
import json
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tidegate.audit.chain import chain_key
from tidegate.audit.query import Filter, Joined, exchanges
from tidegate.audit.reading import lines_of, records_of
from tidegate.audit.verify import Report, verify
from tidegate.demo.redis_server import running_redis
from tidegate.demo.stack import Process

from tests.e2e.keys import PEPPER, POLICY
from tests.e2e.stack import Gate, running_gate, until
from tests.e2e.upstream import Hold, Upstream, chat, chunked, delta, finish, json_answer

SECRET = "bob@example.com"
PROMPT = "the launch code is 0000"
REQUIRED = POLICY.replace("platform:\n", "platform:\n  audit: {required: true}\n", 1)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[str]:
    with running_redis(directory=tmp_path / "redis") as url:
        yield url


@pytest.fixture(params=["file", "redis"])
def place(request: pytest.FixtureRequest, tmp_path: Path, redis: str) -> str:
    return redis if request.param == "redis" else f"file://{tmp_path}/audit?max_size=4KiB"


@pytest.fixture
def logged(place: str, redis: str, tmp_path: Path, upstream: Upstream) -> Iterator[Gate]:
    """Two workers that share their limits, either of which may see either half of an exchange."""
    flags = {"audit": place, "store": redis, "store-timeout": 1.0, "replicas": 2}
    with running_gate(tmp_path, upstream, policy=REQUIRED, workers=2, flags=flags, one_call=place == redis) as gate:
        yield gate


def check(place: str) -> Report:
    report = verify(lines_of(place), key=chain_key(PEPPER))
    assert report.broken is None, report.broken
    return report


def log_of(place: str, **wanted: Any) -> list[Joined]:
    return list(exchanges([record for record in records_of(place) if record], Filter(**wanted)))


def test_every_exchange_is_on_record_and_adds_up(logged: Gate, place: str, upstream: Upstream) -> None:
    document = json.dumps(chat(f"write to {SECRET}")).encode()
    stream = [*map(delta, ["write to b", "ob@exam", "ple.com", " today"]), *finish()]
    message = {"model": "small", "messages": [{"role": "user", "content": PROMPT}]}
    buffered = logged.send("POST", "/v1/chat/completions", json_answer(document), json=message)
    streamed = logged.send("POST", "/v1/chat/completions?key=query-secret", chunked(stream), json=message)
    first = logged.get(json_answer(chat("hello")), key="metered-1")
    refused = logged.get(key="metered-1")
    stranger = logged.get(key=None, path="/predict/path-secret", headers={"authorization": "Bearer tg_x_wrong-secret"})
    hold = Hold()
    opening = delta("Good morning, all of you. ")
    with logged.client() as client:
        fields = logged.fields(chunked([opening, hold]))
        with client.stream("GET", "/predict/x", headers=fields) as left:
            assert b"Good" in next(left.iter_raw())
    hold.open()
    answers = [buffered, streamed, first, refused, stranger, left]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 401, 200]
    until(lambda: sum(bool(o.decision and o.response) for o in log_of(place)) == 6, what="all six on record")
    found = {one.get("request_id"): one for one in log_of(place)}
    one = [found[answer.headers["x-request-id"]] for answer in answers]

    assert [(o.decision or {})["verdict"] for o in one] == ["allow"] * 3 + ["deny"] * 2 + ["allow"]
    assert [(o.decision or {})["reason"] for o in one[3:5]] == ["rate_limit_exceeded", "credential_invalid"]
    assert (one[3].decision or {})["exceeded"] == ["tier:metered hourly"]
    assert (one[2].decision or {})["charged"] == [{"limit": "tier:metered hourly", "unit": "requests", "cost": 1}]
    assert (one[4].decision or {})["path"] == "/predict/**"
    outcomes = [o.response["outcome"] if o.response else None for o in one]
    assert outcomes == ["rewritten"] * 3 + ["passed"] * 2 + ["truncated"]
    refusals = [len(refused.content), len(stranger.content)]
    sizes = [len(document), sum(map(len, stream)), len(json.dumps(chat("hello"))), *refusals, len(opening)]
    for answer, joined, size in zip(answers, one, sizes, strict=True):
        response = joined.response or {}
        assert response["scanned_bytes"] + response["skipped_bytes"] == size
        if answer is not left:
            assert response["sent_bytes"] == len(answer.content)
    email = [{"action": "redact", "count": 1, "entity": "EMAIL"}]
    assert [o.response["findings"] for o in one[:2] if o.response] == [email, email]

    credential = one[0].get("credential")
    assert credential == logged.keys["free"].split("_")[1]
    received = log_of(place, credential=credential, entity="EMAIL")
    assert [o.get("request_id") for o in received] == [a.headers["x-request-id"] for a in (buffered, streamed)]

    raw = b"".join(line.data for line in lines_of(place))
    for secret in [SECRET, "bob", PROMPT, "query-secret", "path-secret", "wrong-secret", *logged.keys.values()]:
        assert secret.encode() not in raw
    for worker in logged.workers:
        assert worker.stop() == 0
    report = check(place)
    assert len(report.chains) == 2
    assert all(chain.closed for chain in report.chains.values())
    told = [line for worker in logged.workers for line in worker.log.read_text().splitlines()]
    heads = [json.loads(line)["head"] for line in told if '"why":"stop"' in line]
    assert sorted(heads) == sorted(f"{name}:{c.head.seq}:{c.head.hash}" for name, c in report.chains.items())


def burst(gate: Gate, count: int) -> list[int]:
    async def main() -> list[int]:
        fields = gate.fields(json_answer(chat("hello")))
        async with httpx.AsyncClient(base_url=gate.base, timeout=30) as client:
            answers = await asyncio.gather(*(client.get("/predict/x", headers=fields) for _ in range(count)))
        return [answer.status_code for answer in answers]

    return asyncio.run(main())


def test_files_turn_over_under_load_in_unbroken_chains(tmp_path: Path, upstream: Upstream) -> None:
    place = f"file://{tmp_path}/audit?max_size=16KiB"
    with running_gate(tmp_path, upstream, policy=REQUIRED, workers=2, flags={"audit": place}) as gate:
        assert burst(gate, 300) == [200] * 300
        for worker in gate.workers:
            assert worker.stop() == 0
    assert len(list((tmp_path / "audit").glob("*.jsonl"))) > 8
    check(place)
    complete = [one for one in log_of(place) if one.decision and one.response]
    assert len({one.get("request_id") for one in complete}) == 300


def test_a_worker_that_is_killed_leaves_a_sound_log_and_the_next_one_goes_on(
    tmp_path: Path, upstream: Upstream
) -> None:
    place = f"file://{tmp_path}/audit"
    with running_gate(tmp_path, upstream, policy=REQUIRED, flags={"audit": place}) as gate:
        assert burst(gate, 50) == [200] * 50
        until(lambda: sum(one.response is not None for one in log_of(place)) == 50)
        command = Path(f"/proc/{gate.workers[0].pid}/cmdline").read_text().split("\0")[:-1]
        assert gate.get(json_answer(chat("hello"))).status_code == 200
        gate.workers[0].kill()
        (chain,) = check(place).chains.values()
        assert not chain.closed
        again = Process(command, tmp_path / "again.log")
        try:
            again.wait_until(lambda: len(list((tmp_path / "audit").glob("*.jsonl"))) == 2)
            again.wait_until(lambda: gate.get(json_answer(chat("hello"))).status_code == 200)
        finally:
            assert again.stop() == 0
    (after,) = check(place).chains.values()
    assert after.closed
    assert after.head.seq > chain.head.seq


@pytest.mark.parametrize("required", [True, False])
def test_a_log_that_cannot_be_written_refuses_or_counts_as_the_policy_says(
    tmp_path: Path, upstream: Upstream, required: bool
) -> None:
    """A limit on the size of files, set and lifted on the running worker, stands for a disk that is full."""
    place = f"file://{tmp_path}/audit"
    policy = REQUIRED if required else POLICY
    with running_gate(tmp_path, upstream, policy=policy, flags={"audit": place, "log-level": "error"}) as gate:
        assert burst(gate, 30) == [200] * 30
        until(lambda: sum(one.response is not None for one in log_of(place)) == 30)
        pid = gate.workers[0].pid
        (file,) = (tmp_path / "audit").glob("*.jsonl")
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (file.stat().st_size + 100, hard))
        assert gate.get(json_answer(chat("hello"))).status_code == 200
        until(lambda: gate.metric("tidegate_audit_available") == 0)
        during = gate.chat(json_answer(chat("hello")))
        if required:
            assert (during.status_code, during.json()["error"]["code"]) == (503, "audit_unavailable")
            assert during.headers["retry-after"] == "1"
            until(lambda: gate.metric("tidegate_decisions_total", reason="audit_unavailable") == 1)
        else:
            assert during.status_code == 200
        check(place)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
        until(lambda: gate.metric("tidegate_audit_available") == 1)
        assert gate.get(json_answer(chat("hello"))).status_code == 200
        assert gate.workers[0].stop() == 0
    (chain,) = check(place).chains.values()
    assert (chain.closed, chain.lost) == (True, int(required))
    served = [one for one in log_of(place) if one.decision and one.decision["verdict"] == "allow" and one.response]
    assert len(served) == 32 + (not required)
