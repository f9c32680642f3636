"""What Prometheus is told is what happened: known traffic through Envoy, over a real Redis, beside its figures."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import httpx
import pytest
from tidegate.demo.redis_server import RedisServer

from tests.e2e.stack import Gate, running_gate, until
from tests.e2e.upstream import Answer, Hold, Upstream, chat, chunked, delta, finish, json_answer

POLICY = """
version: 1
platform:
  identity:
    api_keys: {header: authorization, file: keys.yaml}
tiers:
  free: {limits: [{name: tph, algorithm: sliding_window, limit: 100000, window: 1h, per: [subject], cost: tokens}]}
  metered: {limits: [{name: hourly, algorithm: sliding_window, limit: 1, window: 1h, per: [subject]}]}
rulesets:
  pii: [{detect: [EMAIL], act: redact}, {detect: [CREDIT_CARD], act: mask}]
tenants:
  acme: {grants: [{role: analyst, endpoints: "*"}]}
endpoints:
  chat:
    owner: acme
    match: {hosts: ["*"], path: /v1/chat/completions, methods: [POST]}
    model: {from: body.model, allowed: {free: "*", metered: "*"}}
    rulesets: [pii]
    unscannable: pass
  single:
    owner: acme
    match: {hosts: ["*"], path: /single, methods: [GET]}
    capacity: {concurrent: 1, queue: 4, max_wait: 1s, reserve: 0}
"""
PATIENCE = 60.0
FOUND = "bob@example.com, ann@example.org, 4111 1111 1111 1111"


HELLO = json_answer(chat("hello"))


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gate")


@pytest.fixture(scope="module")
def watched(directory: Path, upstream: Upstream, redis: RedisServer) -> Iterator[Gate]:
    flags = {"store": redis.url, "store-timeout": 5}
    settings = {"check_timeout": 30.0, "message_timeout": 30.0}
    with running_gate(directory, upstream, policy=POLICY, flags=flags, **settings) as running:
        yield running


class Figures:
    """By how much the metrics have moved since this was made."""

    def __init__(self, gate: Gate) -> None:
        self._port = gate.metrics[0]
        self._before = self._now()

    def _now(self) -> dict[str, float]:
        lines = httpx.get(f"http://127.0.0.1:{self._port}/metrics").text.splitlines()
        parts = [line.rpartition(" ") for line in lines if line.startswith("tidegate_")]
        return {series: float(value) for series, _, value in parts}

    def moved(self, name: str, **labels: str) -> float:
        """The sum over the labels that are not given."""
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        return sum(
            value - self._before.get(series, 0.0)
            for series, value in self._now().items()
            if series.partition("{")[0] == f"tidegate_{name}" and all(label in series for label in wanted)
        )

    def becomes(self, wanted: float, name: str, **labels: str) -> None:
        """They are counted in batches, a moment later."""
        until(lambda: self.moved(name, **labels) == wanted, PATIENCE, what=f"{name} {labels} at {wanted}")


def ask(gate: Gate, answer: Answer, key: str | None = "free", max_tokens: int = 1000) -> int:
    body = {"model": "small", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": max_tokens}
    return gate.send("POST", "/v1/chat/completions", answer, key=key, json=body).status_code


def test_decisions_by_phase_outcome_reason_endpoint_and_tier(watched: Gate) -> None:
    figures = Figures(watched)
    decided = {
        ("allow", "", "", "chat", "free"): [ask(watched, HELLO) for _ in range(3)],
        ("deny", "identify", "credential_missing", "chat", ""): [ask(watched, HELLO, None)],
        ("deny", "authorize", "access_denied", "chat", "free"): [ask(watched, HELLO, "roleless") for _ in range(2)],
        ("allow", "", "", "chat", "metered"): [ask(watched, HELLO, "metered-1")],
        ("deny", "admit", "rate_limit_exceeded", "chat", "metered"): [ask(watched, HELLO, "metered-1")],
        ("deny", "edge", "request_malformed", "", ""): [watched.get(HELLO, "/v1/chat;x=1").status_code],
    }
    assert [set(statuses) for statuses in decided.values()] == [{200}, {401}, {403}, {200}, {429}, {400}]
    for (outcome, phase, reason, endpoint, tier), statuses in decided.items():
        labels = {"outcome": outcome, "phase": phase, "reason": reason, "endpoint": endpoint, "tier": tier}
        figures.becomes(len(statuses), "decisions_total", **labels)
    figures.becomes(9, "decisions_total")
    assert figures.moved("decision_seconds_count") == 9
    reached = {"identify": 8, "authorize": 7, "admit": 5}
    assert {phase: figures.moved("phase_seconds_count", phase=phase) for phase in reached} == reached
    assert 0 < figures.moved("phase_seconds_sum", phase="identify") < figures.moved("decision_seconds_sum")
    assert figures.moved("limits_exceeded_total", limit="hourly") == 1


def test_findings_by_entity_and_bytes_that_add_up_to_what_was_served(watched: Gate) -> None:
    figures = Figures(watched)
    text, picture = json_answer(chat(FOUND)), chunked([b"x" * 1000] * 5, content_type="image/png")
    assert [ask(watched, answer) for answer in (text, text, picture)] == [200] * 3
    figures.becomes(5000, "skipped_bytes_total", reason="unsupported_type")
    assert figures.moved("skipped_fields_total", reason="unsupported_type") == 1
    assert figures.moved("findings_total", entity="EMAIL", action="redact") == 4
    assert figures.moved("findings_total", entity="CREDIT_CARD", action="mask") == 2
    assert figures.moved("findings_total") == 6
    assert figures.moved("responses_total", outcome="rewritten") == 2
    assert figures.moved("phase_seconds_count", phase="filter") == 3
    served, read = 2 * len(b"".join(map(bytes, text.steps))), figures.moved("scanned_bytes_total", format="json")  # type: ignore[arg-type]
    assert read > 2 * len(FOUND)
    assert figures.moved("skipped_bytes_total", format="json", reason="within") == served - read
    assert figures.moved("skipped_bytes_total") == served - read + 5000


def test_what_a_stream_waited_for(watched: Gate) -> None:
    figures = Figures(watched)
    assert ask(watched, chunked([delta("mail bob@"), delta("example.com, ok"), *finish()])) == 200
    figures.becomes(1, "first_text_added_seconds_count")
    assert figures.moved("hold_back_seconds_count") >= 1
    assert figures.moved("hold_back_seconds_sum") > 0


def test_what_a_response_cost_beyond_what_was_held_for_it(watched: Gate) -> None:
    figures = Figures(watched)
    usage = {"prompt_tokens": 5, "completion_tokens": 500, "total_tokens": 505}
    assert ask(watched, json_answer({**chat("y" * 2000), "usage": usage}), max_tokens=10) == 200
    figures.becomes(1, "settlements_total", outcome="settled")
    assert 505 - 10 - 20 < figures.moved("overshoot_total", unit="tokens") < 505 - 10


def waits_or_is_refused(figures: Figures, answer: Future[httpx.Response]) -> bool:
    return answer.done() or figures.moved("queue_waiting", endpoint="single") == 1


def test_who_waits_and_for_how_long(watched: Gate) -> None:
    for _ in range(5):  # a second is not always enough on a busy machine for all that has to happen in it
        figures, hold = Figures(watched), Hold()
        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(watched.get, chunked([b"a", hold, b"b"]), "/single")
            until(hold.reached, PATIENCE)
            second = pool.submit(watched.get, HELLO, "/single")
            until(partial(waits_or_is_refused, figures, second), PATIENCE)
            waits = not second.done()
            hold.open()
            statuses = [answer.result(60).status_code for answer in (first, second)]
        if waits and statuses == [200, 200]:
            break
    assert statuses == [200, 200]
    figures.becomes(2, "queue_wait_seconds_count", endpoint="single")
    assert figures.moved("queue_wait_seconds_sum", endpoint="single") > 0
    assert figures.moved("queue_waiting", endpoint="single") == 0


def test_a_policy_that_comes_into_force_has_its_version_and_begins_to_age(watched: Gate, directory: Path) -> None:
    def version() -> str:
        page = httpx.get(f"http://127.0.0.1:{watched.metrics[0]}/metrics").text
        (line,) = [line for line in page.splitlines() if line.startswith("tidegate_policy_info")]
        assert line.endswith(" 1.0")
        return line.split('"')[1]

    figures, before = Figures(watched), version()
    until(lambda: figures.moved("policy_age_seconds") > 0, PATIENCE)
    assert figures.moved("policy_loaded_timestamp_seconds") == 0
    (directory / "policy.yaml").write_text(POLICY.replace("limit: 100000", "limit: 90000"))
    until(lambda: version() != before, PATIENCE)
    assert figures.moved("policy_loaded_timestamp_seconds") > 0


def test_how_the_store_does(watched: Gate, redis: RedisServer) -> None:
    figures = Figures(watched)
    assert ask(watched, HELLO) == 200
    assert figures.moved("store_seconds_count", outcome="answered") > 0
    assert figures.moved("store_seconds_sum", outcome="answered") > 0
    assert [watched.metric("tidegate_store_breaker", state=state) for state in ("closed", "open")] == [1, 0]
    redis.stop()
    ask(watched, HELLO)
    until(lambda: watched.metric("tidegate_store_breaker", state="closed") == 0, PATIENCE)
    assert watched.metric("tidegate_store_exact") == 0
    assert watched.metric("tidegate_store_breaker") == 1
    assert figures.moved("store_seconds_count", outcome="failed") > 0
    redis.start()
    until(lambda: watched.metric("tidegate_store_breaker", state="closed") == 1, PATIENCE)
