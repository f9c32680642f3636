"""Capacity and its queue through the real Envoy: who waits, who is refused, who gives up, and what a crash leaves."""

from __future__ import annotations

import json
import socket
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from tidegate.demo.redis_server import running_redis

from tests.e2e.stack import Gate, running_gate, until
from tests.e2e.upstream import Answer, Hold, Reset, Upstream, chunked, delta, finish, json_answer

POLICY = """
version: 1
platform:
  identity:
    api_keys: {header: authorization, file: keys.yaml}
tiers:
  free: {priority: standard, limits: [{name: rph, algorithm: sliding_window, limit: 1000, window: 1h, per: [endpoint]}]}
  premium: {priority: critical}
tenants:
  acme: {grants: [{role: analyst, endpoints: "*"}]}
endpoints:
  pair:
    owner: acme
    match: {hosts: ["*"], path: /v1/pair, methods: [GET, POST]}
    capacity: {concurrent: 2, queue: 2, max_wait: 1s, reserve: 0}
  single:
    owner: acme
    match: {hosts: ["*"], path: /single, methods: [GET]}
    capacity: {concurrent: 1, queue: 4, max_wait: 1s, reserve: 0}
  inside:
    owner: acme
    match: {hosts: ["*"], path: /inside, methods: [GET]}
    capacity: {concurrent: 2, queue: 0, reserve: 1}
  many:
    owner: acme
    match: {hosts: ["*"], path: /many, methods: [GET]}
    capacity: {concurrent: 4, queue: 0, reserve: 0, cost: requests}
  short:
    owner: acme
    match: {hosts: ["*"], path: /short, methods: [GET]}
    capacity: {concurrent: 1, queue: 0, reserve: 0, lease: 1s}
  brief:
    owner: acme
    match: {hosts: ["*"], path: /brief, methods: [GET]}
    capacity: {concurrent: 1, queue: 0, reserve: 0, lease: 3s}
"""


@pytest.fixture(scope="module")
def busy(counting: dict[str, Any], tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Gate]:
    with running_gate(tmp_path_factory.mktemp("capacity"), upstream, policy=POLICY, **counting) as gate:
        yield gate


@pytest.fixture
def two(tmp_path: Path, upstream: Upstream) -> Iterator[Gate]:
    """Two workers that count in one Redis."""
    with running_redis(directory=tmp_path / "redis") as url:
        flags = {"store": url, "replicas": 2, "store-timeout": 1}
        with running_gate(tmp_path, upstream, workers=2, policy=POLICY, flags=flags) as gate:
            yield gate


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as made:
        yield made


def slow(hold: Hold) -> Answer:
    return chunked([delta("Hi"), hold, *finish()])


class Running:
    """Requests that the model has begun to answer, and ends when told to."""

    def __init__(self, gate: Gate, pool: ThreadPoolExecutor, path: str, count: int, key: str = "free") -> None:
        self.hold = Hold()
        self.name = gate.script(slow(self.hold))
        self.answers = [pool.submit(gate.get, self.name, path, key=key) for _ in range(count)]
        self._gate = gate

    def begun(self) -> int:
        return len(self._gate.seen(self.name))

    def end(self) -> Counter[int]:
        self.hold.open()
        return Counter(answer.result(30).status_code for answer in self.answers)


def waiting(gate: Gate, endpoint: str) -> float:
    return gate.metric("tidegate_queue_waiting", endpoint=endpoint)


def left(answer: httpx.Response) -> int:
    return int(answer.headers["x-ratelimit-remaining-requests"])


class Crowd:
    """Two run, two wait, and one more comes; then the two end."""

    def __init__(self, gate: Gate, pool: ThreadPoolExecutor) -> None:
        self.before = left(gate.get(json_answer({}), "/v1/pair"))
        running = Running(gate, pool, "/v1/pair", 2)
        until(lambda: running.begun() == 2)
        quick = gate.script(json_answer({}))
        queued: list[Future[httpx.Response]] = [pool.submit(gate.get, quick, "/v1/pair") for _ in range(2)]
        until(lambda: waiting(gate, "pair") == 2 or any(answer.done() for answer in queued))
        self.fifth = gate.get(json_answer({}), "/v1/pair")
        self.ran = running.end()
        self.waited = [answer.result(30).status_code for answer in queued]
        self.after = left(gate.get(json_answer({}), "/v1/pair"))


def test_the_third_waits_and_the_fifth_is_told_when_to_come_back(busy: Gate, pool: ThreadPoolExecutor) -> None:
    for _ in range(5):  # a second is not always enough on a busy machine for all that has to happen in it
        full = busy.metric("tidegate_queue_refusals_total", endpoint="pair", outcome="full")
        late = busy.metric("tidegate_queue_refusals_total", endpoint="pair", outcome="late")
        crowd = Crowd(busy, pool)
        if busy.metric("tidegate_queue_refusals_total", endpoint="pair", outcome="late") == late:
            break
    assert (crowd.ran, crowd.waited) == ({200: 2}, [200, 200])
    assert crowd.fifth.status_code == 503
    assert int(crowd.fifth.headers["retry-after"]) >= 1
    assert "ratelimit" not in crowd.fifth.headers
    assert crowd.fifth.json()["error"]["code"] == "overloaded"
    assert busy.metric("tidegate_queue_refusals_total", endpoint="pair", outcome="full") == full + 1
    assert crowd.after == crowd.before - 5  # the refused one cost nothing


def test_who_waits_in_vain_is_refused_in_its_own_format(busy: Gate, pool: ThreadPoolExecutor) -> None:
    running = Running(busy, pool, "/single", 1)
    until(lambda: running.begun() == 1)
    refused = busy.get(json_answer({}), "/single")
    assert running.end() == {200: 1}
    assert (refused.status_code, refused.headers["content-type"]) == (503, "application/problem+json")
    assert refused.json()["code"] == "overloaded"
    assert "acme" not in refused.text
    assert busy.metric("tidegate_queue_refusals_total", endpoint="single", outcome="late") == 1


def test_a_client_that_gives_up_leaves_the_queue_and_is_not_charged(busy: Gate, pool: ThreadPoolExecutor) -> None:
    before = left(busy.get(json_answer({}), "/single"))
    running = Running(busy, pool, "/single", 1)
    until(lambda: running.begun() == 1)
    fields = "".join(f"{name}: {value}\r\n" for name, value in busy.fields())
    with socket.create_connection(("127.0.0.1", busy.port)) as client:
        client.sendall(f"GET /single HTTP/1.1\r\nhost: x\r\n{fields}\r\n".encode())
        until(lambda: waiting(busy, "single") == 1)
    until(lambda: waiting(busy, "single") == 0)
    until(lambda: busy.metric("tidegate_queue_refusals_total", endpoint="single", outcome="left") == 1)
    assert running.end() == {200: 1}
    assert left(busy.get(json_answer({}), "/single")) == before - 2


def test_every_ending_of_a_response_gives_its_place_back(busy: Gate) -> None:
    for ending in (json_answer({}), json_answer({}, status=500), Answer([b"junk\r\n\r\n"], raw=True, close=True)):
        assert busy.get(ending, "/single").status_code in (200, 500, 502)
    for reset in (False, True):
        hold = Hold()
        fields = busy.fields(chunked([delta("Hi"), hold, Reset()]))
        with busy.client() as client, client.stream("GET", "/single", headers=fields) as answer:
            parts = answer.iter_raw()
            next(parts)
            if reset:  # else the client leaves
                hold.open()
                with pytest.raises(httpx.RemoteProtocolError):
                    next(parts)
    assert busy.get(json_answer({}), "/single").status_code == 200


def test_who_leaves_before_the_response_begins_gives_its_place_back_at_once(busy: Gate) -> None:
    hold = Hold()
    name = busy.script(Answer([hold], raw=True))
    fields = "".join(f"{key}: {value}\r\n" for key, value in busy.fields(name))
    with socket.create_connection(("127.0.0.1", busy.port)) as client:
        client.sendall(f"GET /single HTTP/1.1\r\nhost: x\r\n{fields}\r\n".encode())
        until(lambda: busy.seen(name))
    until(lambda: busy.metric("tidegate_streams") == 0)
    assert busy.get(json_answer({}), "/single").status_code == 200


def test_a_model_that_breaks_off_as_it_begins_gives_its_place_back(busy: Gate) -> None:
    broken = Answer([b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhalf"], raw=True, close=True)
    for _ in range(4):
        with suppress(httpx.RemoteProtocolError):  # some of it was on its way
            assert busy.get(broken, "/single").status_code == 502
    assert busy.get(json_answer({}), "/single").status_code == 200


def test_a_place_outlives_its_lease_while_the_model_thinks(busy: Gate, pool: ThreadPoolExecutor) -> None:
    hold = Hold()
    name = busy.script(Answer([hold, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"], raw=True))
    running = pool.submit(busy.get, name, "/short")
    until(lambda: busy.seen(name))
    until(lambda: busy.metric("tidegate_place_steps_total", step="renew", answered="yes") >= 4)  # a lease, and more
    assert busy.get(json_answer({}), "/short").status_code == 503
    hold.open()
    assert running.result(30).status_code == 200
    assert busy.get(json_answer({}), "/short").status_code == 200


def test_critical_finds_its_place_behind_long_exchanges_of_others(busy: Gate, pool: ThreadPoolExecutor) -> None:
    running = Running(busy, pool, "/inside", 1)
    until(lambda: running.begun() == 1)
    assert busy.get(json_answer({}), "/inside").status_code == 503
    assert busy.get(json_answer({}), "/inside", key="premium").status_code == 200
    assert running.end() == {200: 1}


def test_envoy_sends_the_bodies_that_shares_are_measured_by(busy: Gate) -> None:
    name = busy.script(json_answer({}))
    body = {"messages": [{"role": "user", "content": "hello"}]}
    assert busy.send("POST", "/v1/pair", name, json=body).status_code == 200
    assert json.loads(busy.seen(name)[0].body) == body


def test_two_replicas_share_one_capacity(two: Gate, pool: ThreadPoolExecutor) -> None:
    for _ in range(2):  # the second time finds every place given back
        running = Running(two, pool, "/many", 16)
        until(lambda: sum(answer.done() for answer in running.answers) == 12)  # noqa: B023 - called at once
        until(lambda: running.begun() == 4)  # noqa: B023
        assert running.end() == {200: 4, 503: 12}
    assert min(two.metric("tidegate_decisions_total", worker) for worker in range(2)) > 0


def test_the_places_of_a_killed_worker_are_free_after_their_lease(two: Gate, pool: ThreadPoolExecutor) -> None:
    running = Running(two, pool, "/brief", 1)
    until(lambda: sum(two.metric("tidegate_streams", worker) for worker in range(2)) == 1)
    (worker,) = (index for index in range(2) if two.metric("tidegate_streams", index) == 1)
    two.workers[worker].kill()
    with pytest.raises(httpx.RemoteProtocolError):
        running.end()
    until(lambda: two.get(json_answer({}), "/brief").json().get("code") == "overloaded")
    until(lambda: two.get(json_answer({}), "/brief").status_code == 200)
