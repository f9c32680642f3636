"""Two workers: shared load, one killed, one drained."""

from __future__ import annotations

import asyncio
import json
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from tidegate.envoy.config import PolicyTls

from tests.e2e.certificates import make_certificates
from tests.e2e.stack import Gate, running_gate, until
from tests.e2e.upstream import Upstream, chat, chunked, delta, finish, json_answer

SECRET = "bob@example.com"


def patient_health(document: dict[str, Any]) -> None:
    (policy,) = (one for one in document["static_resources"]["clusters"] if one["name"] == "tidegate")
    policy["health_checks"][0]["timeout"] = "30s"


PATIENT: dict[str, Any] = {"check_timeout": 30.0, "message_timeout": 30.0, "tweak": patient_health}
"""What is late on a busy machine is waited for: no timeout may look like a failure."""


@pytest.fixture
def two(asking: dict[str, bool], tmp_path: Path, upstream: Upstream) -> Iterator[Gate]:
    with running_gate(tmp_path, upstream, workers=2, **PATIENT, **asking) as running:
        yield running


@pytest.fixture
def pair(asking: dict[str, bool], tmp_path: Path, upstream: Upstream) -> Iterator[Gate]:
    """Two workers of one command."""
    with running_gate(
        tmp_path, upstream, workers=2, together=True, flags={"health-grace": 3}, **PATIENT, **asking
    ) as running:
        yield running
        running.workers[0].stop(30)


class Load:
    """Requests from some connections until told to stop; what came of each."""

    def __init__(self, gate: Gate, callers: int = 16) -> None:
        self._gate = gate
        self._callers = callers
        self._stopping = False
        self.statuses: Counter[object] = Counter()
        self.leaks: list[bytes] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self._caller(index)) for index in range(self._callers)]
        try:
            yield
        finally:
            self._stopping = True
            await asyncio.gather(*tasks)

    async def _caller(self, index: int) -> None:
        whole = json_answer(chat(f"mail {SECRET}"))
        live = chunked([delta("mail bob@"), delta("example.com"), *finish()])
        fields = self._gate.fields(live if index % 2 else whole)
        async with httpx.AsyncClient(base_url=self._gate.base, timeout=20) as client:
            while not self._stopping:
                try:
                    answer = await client.get("/predict/x", headers=fields)
                except httpx.RemoteProtocolError:
                    self.statuses["broken off"] += 1
                    continue
                self.statuses[answer.status_code] += 1
                if b"bob" in answer.content or b"example.com" in answer.content:
                    self.leaks.append(answer.content)

    async def reaches(self, count: int) -> None:
        """Wait for this many more answers."""
        goal = self.statuses.total() + count
        async with asyncio.timeout(30):
            while self.statuses.total() < goal:
                await asyncio.sleep(0.02)


async def test_both_workers_share_the_load(two: Gate) -> None:
    load = Load(two)
    async with load.running():
        await load.reaches(400)
    counts = [two.metric("tidegate_decisions_total", index) for index in range(2)]
    assert min(counts) > 0.25 * sum(counts)
    assert set(load.statuses) == {200}
    assert not load.leaks


async def test_a_worker_killed_under_load_never_leaks(two: Gate) -> None:
    load = Load(two)
    async with load.running():
        await load.reaches(200)
        two.workers[0].kill()
        await load.reaches(600)
    assert not load.leaks
    assert set(load.statuses) <= {200, 500, 503, "broken off"}
    assert load.statuses[200] >= 0.97 * load.statuses.total()


async def test_a_worker_that_is_told_to_stop_costs_no_request(two: Gate) -> None:
    load = Load(two)
    async with load.running():
        await load.reaches(200)
        two.workers[0].send(signal.SIGTERM)
        while two.workers[0].running:
            await load.reaches(20)
        await load.reaches(200)
    assert load.statuses == {200: load.statuses.total()}
    assert not load.leaks
    assert two.workers[0].wait() == 0


async def test_replacing_all_workers_costs_no_request(pair: Gate) -> None:
    """SIGUSR2 to the one command: each of the two is another process afterwards, and nobody was refused or cut off."""
    (command,) = pair.workers
    load = Load(pair, callers=4)
    async with load.running():
        await load.reaches(100)
        command.send(signal.SIGUSR2)
        while "every worker is replaced" not in command.log.read_text():
            await load.reaches(20)
        await load.reaches(100)
    assert load.statuses == {200: load.statuses.total()}
    assert not load.leaks
    events = [json.loads(line) for line in command.log.read_text().splitlines()]
    served = Counter(line["address"] for line in events if line["event"] == "serving")
    assert served == {f"127.0.0.1:{port}": 2 for port in pair.ports}
    assert sum(line["event"] == "stopped" for line in events) == 2


def test_a_worker_that_hears_what_is_for_the_whole_goes_on(gate: Gate) -> None:
    """A service manager may send SIGUSR2 to every process of the service; by default that ends one at once."""
    (worker,) = gate.workers
    worker.send(signal.SIGUSR2)
    until(lambda: "SIGUSR2 is for the command" in worker.log.read_text())
    assert worker.running
    assert gate.get(json_answer(chat("hello"))).status_code == 200


async def test_a_burst_while_a_worker_is_dead_meets_no_retry_limit(two: Gate) -> None:
    two.workers[0].kill()
    name = two.script(json_answer(chat("hello")))
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=two.base, timeout=30, limits=limits) as client:
        answers = await asyncio.gather(*(client.get("/predict/x", headers=two.fields(name)) for _ in range(100)))
    assert two.stat("cluster.tidegate.upstream_rq_retry_overflow") == 0
    assert Counter(answer.status_code for answer in answers)[200] >= 97


def test_long_answers_do_not_stall_the_others(gate: Gate) -> None:
    """Megabytes of findings take long to read; on the event loop they would turn every other Check into 503."""
    long = gate.script(json_answer(chat(" ".join(f"user{index}@example.org" for index in range(80_000)))))
    short = gate.fields(json_answer(chat("hello")))
    with ThreadPoolExecutor(1) as pool, gate.client() as client:
        reading = pool.submit(lambda: {gate.get(long).status_code for _ in range(3)})
        until(lambda: gate.metric("tidegate_streams") == 1 or reading.done())
        statuses = Counter(client.get("/predict/x", headers=short).status_code for _ in range(30))
        assert reading.result(60) == {200}
    assert statuses == {200: 30}


def test_envoy_survives_its_own_end(two: Gate) -> None:
    """envoy.reloadable_features.ext_proc_graceful_grpc_close makes 1.40.0 crash on SIGTERM after traffic."""
    assert two.get(json_answer(chat("hello"))).status_code == 200
    assert two.envoy.stop() == 0


def test_tls_both_ways_between_envoy_and_the_workers(tmp_path: Path, upstream: Upstream) -> None:
    files = make_certificates(tmp_path)
    tls = PolicyTls(str(files.ca), "tidegate", str(files.cert), str(files.key))
    flags = {"tls-cert": files.cert, "tls-key": files.key, "tls-client-ca": files.ca}
    with running_gate(tmp_path, upstream, flags=flags, tls=tls) as gate:
        until(lambda: gate.get(json_answer(chat("hello"))).status_code == 200)
        assert gate.get(json_answer(chat(f"mail {SECRET}"))).json() == chat("mail [EMAIL]")
