"""Limits on what runs at once, through the real Envoy: a place is taken at admission and free when that is over.

Each test asks for a model of its own, and places are counted per model: so each has the whole limit to itself.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from tidegate.demo.redis_server import running_redis

from tests.e2e.stack import Gate, running_gate, until
from tests.e2e.upstream import Answer, Hold, Reset, Upstream, chat, chunked, delta, finish, json_answer

LIMIT = 3
POLICY = """
version: 1
platform:
  identity:
    api_keys: {header: authorization, file: keys.yaml}
  floor:
    limits:
      - {name: running, algorithm: concurrency, limit: 3, lease: LEASE, per: [model]}
      - {name: rph, algorithm: sliding_window, limit: 1000, window: 1h, per: [subject, model]}
tiers: {free: {}}
rulesets:
  pii: [{detect: [EMAIL], act: redact}]
tenants:
  acme: {grants: [{role: analyst, endpoints: "*"}]}
endpoints:
  chat:
    owner: acme
    match: {hosts: ["*"], path: /v1/chat/completions, methods: [POST]}
    model: {from: body.model, allowed: {free: "*"}}
    rulesets: [pii]
  plain:
    owner: acme
    match: {hosts: ["*"], path: /v1/completions, methods: [POST]}
    model: {from: body.model, allowed: {free: "*"}}
  once:
    owner: acme
    match: {hosts: ["*"], path: /v1/embeddings, methods: [POST]}
    model: {from: body.model, allowed: {free: "*"}}
    limits:
      - {name: never, algorithm: sliding_window, limit: 1, window: 1h}
"""
FILTERED, PLAIN, ONCE = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
PATHS = [FILTERED, PLAIN]


@pytest.fixture(scope="module")
def leased(counting: dict[str, Any], tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Gate]:
    policy = POLICY.replace("LEASE", "10m")  # what is free within a test was given back
    with running_gate(tmp_path_factory.mktemp("leases"), upstream, policy=policy, **counting) as gate:
        yield gate


def ask(gate: Gate, model: str, answer: Answer | None = None, path: str = PLAIN) -> httpx.Response:
    return gate.send("POST", path, answer or json_answer(chat("hello")), json={"model": model})


@contextmanager
def streaming(gate: Gate, model: str, hold: Hold, path: str = PLAIN, end: bool = True) -> Iterator[httpx.Response]:
    """An exchange whose response has begun and waits at `hold`; a client that has left when the block ends."""
    parts = [delta("Hi "), hold, *([delta("there"), *finish()] if end else [Reset()])]
    fields = gate.fields(chunked(parts))
    with gate.client() as client, client.stream("POST", path, headers=fields, json={"model": model}) as answer:
        yield answer


def running(stack: ExitStack, gate: Gate, model: str, path: str = PLAIN) -> list[Iterator[bytes]]:
    """As many exchanges as may run, each with its first bytes at the client; they leave when the stack closes."""
    bodies = [stack.enter_context(streaming(gate, model, Hold(), path)).iter_raw() for _ in range(LIMIT)]
    assert all(map(next, bodies))
    return bodies  # one that nobody holds would close its response


def free(gate: Gate, model: str) -> int:
    """How many places are free now. The one who looks takes one, and gives it back."""
    answer = ask(gate, model)
    found = re.search(r'"running";r=(\d+)', answer.headers["ratelimit"])
    assert found is not None
    return int(found[1]) + (answer.status_code == 200)


def all_free(gate: Gate, model: str, count: int = LIMIT) -> None:
    seen: list[int] = []

    def there() -> bool:
        seen.append(free(gate, model))
        return seen[-1] == count

    until(there, what=f"{count} places, but {seen[-3:]}")


@pytest.mark.parametrize("path", PATHS)
def test_one_more_than_may_run_is_refused_until_one_has_ended(leased: Gate, model: str, path: str) -> None:
    holds = [Hold() for _ in range(LIMIT)]
    with ExitStack() as stack:
        answers = [stack.enter_context(streaming(leased, model, hold, path)) for hold in holds]
        assert [answer.status_code for answer in answers] == [200] * LIMIT
        for _ in range(3):
            refused = ask(leased, model, path=path)
            assert refused.status_code == 429
            assert refused.headers["retry-after"] == "1"
            assert refused.json()["error"]["code"] == "rate_limit_exceeded"
            assert "running" in refused.json()["error"]["message"]
        holds[0].open()
        assert b"there" in answers[0].read()
        until(lambda: ask(leased, model, path=path).status_code == 200)
        all_free(leased, model, 1)
        for hold, answer in zip(holds[1:], answers[1:], strict=True):
            hold.open()
            assert b"[DONE]" in answer.read()
    all_free(leased, model)


def test_what_waits_for_its_response_to_begin_has_its_place(leased: Gate, model: str) -> None:
    hold = Hold()
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"
    with ExitStack() as stack:
        calls = [stack.enter_context(leased.client()) for _ in range(LIMIT)]
        name = leased.script(Answer([hold, head + b"ok"], raw=True))
        pool = stack.enter_context(ThreadPoolExecutor(LIMIT))
        fields = leased.fields(name)
        waiting = [pool.submit(call.post, PLAIN, headers=fields, json={"model": model}) for call in calls]
        until(lambda: len(leased.seen(name)) == LIMIT)
        assert ask(leased, model).status_code == 429
        hold.open()
        assert [answer.result(20).status_code for answer in waiting] == [200] * LIMIT
    all_free(leased, model)


@pytest.mark.parametrize("path", PATHS)
def test_a_client_that_leaves_in_mid_stream_gives_its_place_back(leased: Gate, model: str, path: str) -> None:
    with ExitStack() as stack:
        bodies = running(stack, leased, model, path)
        assert ask(leased, model, path=path).status_code == 429
        del bodies
    all_free(leased, model)


@pytest.mark.parametrize("path", PATHS)
def test_a_client_that_leaves_before_the_response_begins_gives_its_place_back(
    leased: Gate, model: str, path: str
) -> None:
    fields = leased.fields(Answer([Hold()], raw=True))
    for _ in range(LIMIT + 1):
        with leased.client() as client, pytest.raises(httpx.ReadTimeout):
            client.post(path, headers=fields, json={"model": model}, timeout=httpx.Timeout(20, read=0.1))
        all_free(leased, model)


@pytest.mark.parametrize("path", PATHS)
def test_an_upstream_that_breaks_off_gives_the_place_back(leased: Gate, model: str, path: str) -> None:
    hold = Hold()
    with streaming(leased, model, hold, path, end=False) as answer:
        all_free(leased, model, LIMIT - 1)
        hold.open()
        with pytest.raises(httpx.RemoteProtocolError):
            answer.read()
        all_free(leased, model)


@pytest.mark.parametrize(
    ("answer", "path", "status"),
    [
        (Answer([Reset()], raw=True), PLAIN, 503),
        (json_answer({"error": {"message": "overloaded"}}, status=500), PLAIN, 500),
        (json_answer({"error": {"message": "overloaded"}}, status=500), FILTERED, 500),
        (json_answer(b"{broken"), FILTERED, 502),
        (json_answer(b"PNG", headers=[("content-type", "image/png")]), FILTERED, 502),
        (json_answer(b"PNG", headers=[("content-type", "image/png")]), PLAIN, 200),
        (Answer(status=204), PLAIN, 204),
        (Answer(status=204), FILTERED, 204),
        (chunked([delta("Hi bob@exa"), delta("mple.com"), *finish()], trailers=[("x-end", "1")]), FILTERED, 200),
    ],
)
def test_every_ending_gives_the_place_back(leased: Gate, model: str, answer: Answer, path: str, status: int) -> None:
    for _ in range(LIMIT + 2):
        assert ask(leased, model, answer, path).status_code == status
        all_free(leased, model)  # a client that has its last byte may be a moment ahead of the ledger in Redis
    all_free(leased, model)


def test_a_refusal_by_another_limit_takes_no_place(leased: Gate, model: str) -> None:
    ask(leased, model, path=ONCE)
    for _ in range(LIMIT + 2):
        refused = ask(leased, model, path=ONCE)
        assert refused.status_code == 429
        assert "never" in refused.json()["error"]["message"]
    all_free(leased, model)


def test_clients_are_told_in_the_drafts_unit_and_not_in_openais(leased: Gate, model: str) -> None:
    answer = ask(leased, model)
    assert '"running";q=3;qu="concurrent-requests"' in answer.headers["ratelimit-policy"]
    assert answer.headers["x-ratelimit-limit-requests"] == "1000"
    assert answer.headers["x-ratelimit-remaining-requests"] == "999"


def test_every_place_was_given_back_in_time(leased: Gate) -> None:
    assert leased.metric("tidegate_settlements_total", outcome="settled") > 0
    for outcome in ("late", "unavailable", "failed"):
        assert leased.metric("tidegate_settlements_total", outcome=outcome) == 0


def test_the_places_of_a_worker_that_was_killed_are_free_after_their_lease(tmp_path: Path, upstream: Upstream) -> None:
    policy = POLICY.replace("LEASE", "4s")
    with running_redis(directory=tmp_path / "redis") as store, ExitStack() as stack:
        for name in ("dying", "living"):
            (tmp_path / name).mkdir()
        dying, living = (
            stack.enter_context(running_gate(tmp_path / name, upstream, policy=policy, flags={"store": store}))
            for name in ("dying", "living")
        )
        bodies = running(stack, dying, "m")
        assert ask(living, "m").status_code == 429
        dying.workers[0].send(signal.SIGKILL)
        dying.workers[0].wait()
        assert ask(living, "m").status_code == 429  # nobody was there to give them back
        until(lambda: ask(living, "m").status_code == 200, timeout=20)
        all_free(living, "m")
        del bodies
