"""Limits in money: reserved by an estimate, settled at the price of the decision, through the real Envoy.

Each test asks for a model of its own, and the limit is kept per model: so each has the whole limit to itself.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tidegate.usage.estimate import estimate

from tests.e2e.priced import NOTHING, body_of
from tests.e2e.stack import Gate, running_gate, until, until_at
from tests.e2e.upstream import Answer, Hold, Reset, Upstream, chat, chunked, delta, event, finish, json_answer

LIMIT = 50_000  # micro-dollars
POLICY = """
version: 1
platform:
  identity:
    api_keys: {header: authorization, file: keys.yaml}
prices:
  currency: USD
  default: {prompt: 2, completion: "10.00", cache_read: 0.5}
  models: {dear: {prompt: 2, completion: 10, request: 0.02}}
tiers:
  free:
    limits:
      - {name: spend, algorithm: sliding_window, limit: "0.05", window: 1h, per: [subject, model], cost: money}
      - {name: tph, algorithm: sliding_window, limit: 100000, window: 1h, per: [subject, model], cost: tokens}
tenants:
  acme: {grants: [{role: analyst, endpoints: "*"}]}
endpoints:
  chat:
    owner: acme
    match: {hosts: ["*"], path: /v1/chat/completions, methods: [POST]}
    model: {from: body.model, allowed: {free: "*"}}
"""
PATH = "/v1/chat/completions"
USAGE = {"usage": {"prompt_tokens": 100, "completion_tokens": 30, "total_tokens": 130}}


@pytest.fixture(scope="module")
def priced(counting: dict[str, Any], tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Gate]:
    with running_gate(tmp_path_factory.mktemp("money"), upstream, policy=POLICY, **counting) as gate:
        yield gate


def ask(gate: Gate, answer: Answer, model: str, **more: Any) -> httpx.Response:
    return gate.send("POST", PATH, answer, json=body_of(model, **more))


def left(answer: httpx.Response, limit: str = "spend") -> int:
    found = re.search(rf'"{limit}";r=(\d+)', answer.headers["ratelimit"])
    assert found is not None
    return int(found[1])


def reserved(body: dict[str, Any]) -> int:
    costs = estimate(json.dumps(body).encode())
    return 2 * costs.prompt_tokens + 10 * costs.completion_tokens


def used(gate: Gate, model: str) -> int:
    """What stands against the limit now: told by a look that costs nothing once it is over."""
    look = body_of(model, max_tokens=1)
    return LIMIT - left(ask(gate, json_answer(NOTHING), model, max_tokens=1)) - reserved(look)


def settles_at(gate: Gate, model: str, money: int) -> None:
    until_at(lambda: used(gate, model), money)


def test_an_answer_is_reserved_by_its_estimate_and_settled_by_its_usage(priced: Gate, model: str) -> None:
    answer = ask(priced, json_answer({**chat("hello"), **USAGE}), model, max_tokens=3000)
    assert 'spend";q=50000;w=3600;tidegate-unit="micro-usd"' in answer.headers["ratelimit-policy"]
    assert left(answer) == LIMIT - reserved(body_of(model, max_tokens=3000))
    assert answer.headers["x-ratelimit-limit-tokens"] == "100000"
    settles_at(priced, model, 2 * 100 + 10 * 30)


def test_a_stream_is_settled_by_its_usage_and_by_its_text_without(priced: Gate, model: str) -> None:
    usage = event({"id": "c", "object": "chat.completion.chunk", "choices": [], **USAGE})
    ask(priced, chunked([delta("Hi "), *finish()[:1], usage, finish()[1]]), model)
    settles_at(priced, model, 500)
    ask(priced, chunked([delta("y" * 20), delta("y" * 20), *finish()]), model)
    settles_at(priced, model, 500 + 2 * (3 + 4 + 10) + 10 * 10)


def test_what_the_cache_gave_is_cheaper(priced: Gate, model: str) -> None:
    cached = {"usage": {**USAGE["usage"], "prompt_tokens_details": {"cached_tokens": 80}}}
    ask(priced, json_answer({**chat("hello"), **cached}), model)
    settles_at(priced, model, 2 * 20 + 40 + 10 * 30)


def test_a_request_has_a_price_of_its_own_unless_no_model_answers(priced: Gate) -> None:
    free = json_answer(NOTHING)
    first = left(ask(priced, Answer([Reset()], raw=True), "dear", max_tokens=1))
    until(lambda: left(ask(priced, Answer([Reset()], raw=True), "dear", max_tokens=1)) == first)
    assert ask(priced, free, "dear", max_tokens=1).status_code == 200
    until(lambda: left(ask(priced, Answer([Reset()], raw=True), "dear", max_tokens=1)) == first - 20_000)


def test_a_spent_budget_is_a_429_that_names_it(priced: Gate, model: str) -> None:
    ask(priced, json_answer({**chat("hello"), "usage": {"prompt_tokens": 0, "completion_tokens": 4990}}), model)
    settles_at(priced, model, 49_900)
    refused = ask(priced, json_answer(NOTHING), model, max_tokens=50)
    assert refused.status_code == 429
    assert refused.json()["error"]["message"] == "Limit 'spend' is exhausted."
    assert left(refused) == 100
    assert 0 < int(refused.headers["retry-after"]) <= 3600
    settles_at(priced, model, 49_900)


@pytest.mark.parametrize("lie", [-1, 2**50, "9", True])
def test_a_lying_usage_is_neither_free_nor_without_end(priced: Gate, model: str, lie: Any) -> None:
    before = priced.metric("tidegate_usage_refused_total")
    usage = {"usage": {"prompt_tokens": 10, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": lie}}}
    ask(priced, json_answer({**chat("y"), **usage}), model)
    settles_at(priced, model, 30)
    assert priced.metric("tidegate_usage_refused_total") == before + 1


def test_a_price_that_changes_in_mid_exchange_is_for_the_next_one(
    store: dict[str, object], tmp_path: Path, upstream: Upstream, model: str
) -> None:
    with running_gate(tmp_path, upstream, policy=POLICY, flags=store) as gate:
        hold = Hold()
        usage = event({"id": "c", "object": "chat.completion.chunk", "choices": [], **USAGE})
        fields = gate.fields(chunked([delta("Hi "), hold, *finish()[:1], usage, finish()[1]]))
        with gate.client() as client, client.stream("POST", PATH, headers=fields, json=body_of(model)) as answer:
            chunks = answer.iter_raw()
            next(chunks)
            (tmp_path / "policy.yaml").write_text(
                POLICY.replace('{prompt: 2, completion: "10.00"', "{prompt: 4, completion: 20")
            )
            look = body_of("another", max_tokens=1)
            dearer, looks = 2 * reserved(look), itertools.count()
            until(
                lambda: LIMIT - left(ask(gate, json_answer(NOTHING), f"{model}-{next(looks)}", max_tokens=1)) == dearer
            )
            hold.open()
            for _ in chunks:
                pass
        ask(gate, json_answer({**chat("hello"), **USAGE}), model)
        until(
            lambda: left(ask(gate, json_answer(NOTHING), model, max_tokens=1)) == LIMIT - 500 - 1000 - dearer,
            what="one exchange at the old price and one at the new",
        )


def test_every_reservation_was_settled(priced: Gate, model: str) -> None:
    ask(priced, json_answer(NOTHING), model)
    until(lambda: priced.metric("tidegate_settlements_total", outcome="settled") > 0)
    for outcome in ("late", "unavailable", "failed"):
        assert priced.metric("tidegate_settlements_total", outcome=outcome) == 0
