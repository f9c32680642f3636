"""Limits priced in tokens: reserved by an estimate, settled by what the model said or wrote, through the real Envoy.

Each test asks for a model of its own, and the limit is kept per model: so each has the whole limit to itself.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.e2e.priced import LIMIT, NOTHING, PATHS, ask, body_of, left, reserved, settles_at, streamed
from tests.e2e.stack import Gate, until
from tests.e2e.upstream import Answer, Hold, Reset, chat, chunked, delta, event, finish, gzip_answer, json_answer

pytestmark = pytest.mark.parametrize("store", ["memory", "redis", "cluster"], indirect=True, scope="module")

USAGE = {"usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}}


@pytest.mark.parametrize("path", PATHS)
def test_a_json_answer_settles_by_its_usage(priced: Gate, model: str, path: str) -> None:
    answer = ask(priced, json_answer({**chat("hello"), **USAGE}), model, path, max_tokens=5000)
    assert answer.headers["x-ratelimit-limit-tokens"] == str(LIMIT)
    assert left(answer) == LIMIT - reserved(body_of(model, max_tokens=5000))
    settles_at(priced, model, 18)


@pytest.mark.parametrize("path", PATHS)
def test_a_stream_settles_by_its_last_usage(priced: Gate, model: str, path: str) -> None:
    usage = event({"id": "c", "object": "chat.completion.chunk", "choices": [], **USAGE})
    ask(priced, chunked([delta("Hi "), delta("there"), *finish()[:1], usage, finish()[1]]), model, path)
    settles_at(priced, model, 18)


@pytest.mark.parametrize("path", PATHS)
def test_lines_of_json_settle_by_the_counts_in_the_last_one(priced: Gate, model: str, path: str) -> None:
    lines = [
        {"model": "m", "message": {"role": "assistant", "content": "y" * 40}, "done": False},
        {
            "model": "m",
            "message": {"role": "assistant", "content": ""},
            "done": True,
            "prompt_eval_count": 11,
            "eval_count": 7,
        },
    ]
    parts = [json.dumps(line).encode() + b"\n" for line in lines]
    ask(priced, chunked(parts, content_type="application/x-ndjson"), model, path)
    settles_at(priced, model, 18)


@pytest.mark.parametrize("path", PATHS)
def test_a_compressed_answer_settles_by_its_usage_where_it_is_read(priced: Gate, model: str, path: str) -> None:
    answer = ask(priced, gzip_answer({**chat("hello"), **USAGE}), model, path)
    reads = "content-encoding" not in answer.headers
    settles_at(priced, model, 18 if reads else reserved(body_of(model)))


@pytest.mark.parametrize("path", PATHS)
def test_without_usage_the_text_is_counted(priced: Gate, model: str, path: str) -> None:
    ask(priced, streamed(delta("y" * 20), delta("y" * 20)), model, path)
    settles_at(priced, model, 3 + 4 + 10 + 10)


@pytest.mark.parametrize("path", PATHS)
def test_a_client_that_leaves_in_mid_stream_pays_for_what_was_written(priced: Gate, model: str, path: str) -> None:
    hold = Hold()
    fields = priced.fields(chunked([delta("y" * 40), hold, delta("never"), *finish()]))
    with priced.client() as client, client.stream("POST", path, headers=fields, json=body_of(model)) as answer:
        next(answer.iter_raw())
    settles_at(priced, model, 3 + 4 + 10 + 10)


def test_a_running_request_holds_its_reservation(priced: Gate, model: str) -> None:
    hold = Hold()
    fields = priced.fields(chunked([delta("Hi"), hold, event({"choices": [], **USAGE}), *finish()]))
    body = body_of(model, max_tokens=6000)
    with priced.client() as client, client.stream("POST", PATHS[0], headers=fields, json=body) as answer:
        refused = ask(priced, json_answer(NOTHING), model, max_tokens=6000)
        assert refused.status_code == 429
        assert "tph" in refused.json()["error"]["message"]
        assert "retry-after" in refused.headers
        hold.open()
        answer.read()
    settles_at(priced, model, 18)
    # A replica may repeat for a moment that there was no room.
    until(lambda: ask(priced, json_answer(NOTHING), model, max_tokens=6000).status_code == 200, timeout=2.0)


def test_what_is_left_decreases_from_call_to_call(priced: Gate, model: str) -> None:
    seen = []
    for spent in (0, 500, 1000):
        settles_at(priced, model, spent)
        usage = {"usage": {"prompt_tokens": 100, "completion_tokens": 400}}
        seen.append(left(ask(priced, json_answer({**chat("hello"), **usage}), model)))
    first = LIMIT - reserved(body_of(model))
    assert seen == [first, first - 500, first - 1000]


def test_what_is_left_of_requests_decreases_with_each_call(priced: Gate, model: str) -> None:
    answers = [ask(priced, json_answer(NOTHING), model) for _ in range(4)]
    assert [int(answer.headers["x-ratelimit-remaining-requests"]) for answer in answers] == [999, 998, 997, 996]
    assert [re.findall(r'"rph";r=(\d+);t=\d+', answer.headers["ratelimit"]) for answer in answers] == [
        ["999"],
        ["998"],
        ["997"],
        ["996"],
    ]
    assert {answer.headers["x-ratelimit-limit-requests"] for answer in answers} == {"1000"}


def test_a_refusal_tells_the_state_of_every_limit(priced: Gate, model: str) -> None:
    refused = ask(priced, json_answer(NOTHING), model, max_tokens=LIMIT)
    assert refused.status_code == 429
    assert refused.headers["ratelimit-policy"] == ('"tph";q=10000;w=3600;tidegate-unit="tokens", "rph";q=1000;w=3600')
    assert refused.headers["ratelimit"] == '"tph";r=10000;t=0, "rph";r=1000;t=0'
    assert refused.headers["x-ratelimit-remaining-tokens"] == str(LIMIT)
    assert refused.headers["x-ratelimit-remaining-requests"] == "1000"


def test_a_shadow_limit_refuses_nothing_and_is_told_to_the_operator_alone(priced: Gate, model: str) -> None:
    def would_have_refused() -> float:
        return priced.metric("tidegate_limits_exceeded_total", scope="endpoint:tried", limit="trial", shadow="true")

    answer = ask(priced, json_answer({**chat("hello"), **USAGE}), model, "/v1/tried")
    assert answer.status_code == 200
    assert "trial" not in str(answer.headers)
    until(lambda: would_have_refused() == 1)


@pytest.mark.parametrize("lie", [-1, 2**50, 1e300, "9", True])
def test_a_lying_usage_is_not_believed(priced: Gate, model: str, lie: Any) -> None:
    before = priced.metric("tidegate_usage_refused_total")
    usage = {"usage": {"prompt_tokens": lie, "completion_tokens": lie, "total_tokens": lie}}
    ask(priced, json_answer({**chat("y" * 40), **usage}), model)
    settles_at(priced, model, 3 + 4 + 10 + 10)
    assert priced.metric("tidegate_usage_refused_total") == before + 3


def test_a_request_larger_than_the_limit_is_told_so(priced: Gate, model: str) -> None:
    refused = ask(priced, json_answer(NOTHING), model, max_tokens=20_000)
    assert refused.status_code == 429
    assert "retry-after" not in refused.headers
    assert "larger than limit 'tph'" in refused.json()["error"]["message"]
    settles_at(priced, model, 0)


def test_an_upstream_that_fails_costs_no_tokens(priced: Gate, model: str) -> None:
    assert ask(priced, Answer([Reset()], raw=True), model).status_code == 503
    settles_at(priced, model, 0)
    assert ask(priced, json_answer({"error": {"message": "overloaded"}}, status=500), model).status_code == 500
    settles_at(priced, model, 0)


def test_a_body_that_passes_unread_is_not_changed_by_being_metered(priced: Gate, model: str) -> None:
    raw = b'{"choices": [broken \xff' + b"y" * 19
    answer = ask(priced, json_answer(raw), model, PATHS[1])
    assert answer.content == raw
    settles_at(priced, model, 3 + 4 + 10 + 10)


def test_a_withheld_answer_costs_its_prompt(priced: Gate, model: str) -> None:
    assert ask(priced, json_answer(b"{broken"), model).status_code == 502
    settles_at(priced, model, 3 + 4 + 10)


def test_every_reservation_was_settled(priced: Gate, model: str) -> None:
    ask(priced, json_answer(NOTHING), model)
    until(lambda: priced.metric("tidegate_settlements_total", outcome="settled") > 0)
    for outcome in ("late", "unavailable", "failed"):
        assert priced.metric("tidegate_settlements_total", outcome=outcome) == 0
