"""Charging, settling and what is left: the same for every engine."""

from __future__ import annotations

import math
from typing import Any

import pytest
from tidegate_client import TidegateInvalid

from tests.client.test_contract import chat
from tests.client.world import FREE, HOST, PREMIUM, World

BATCH = {**PREMIUM, "client_id": "app-1"}
COSTS = {"requests": 1, "money": 200_000, "prompt_tokens": 900}


def test_consume_charges_and_settle_gives_back_once(engine: Any) -> None:
    first = engine.consume("chat", PREMIUM, cost=900, hold=60.0)
    assert (first.admitted, first.refused, first.enforcement) == (True, None, "exact")
    assert [state.remaining for state in first.states] == [100]

    refused = engine.consume("chat", PREMIUM, cost=200)
    assert not refused.admitted
    assert refused.refused.name == "tpm"
    assert refused.reservation == ""

    assert engine.settle(first.reservation, 100) is True
    assert engine.settle(first.reservation, 0) is False
    assert engine.consume("chat", PREMIUM, cost=200).admitted


def test_costs_by_unit_are_charged_and_settled_each_in_its_own(engine: Any) -> None:
    first = engine.consume("batch", BATCH, cost=COSTS, hold=60.0)
    assert first.admitted
    state = {state.name: state for state in first.states}
    assert {name: one.remaining for name, one in state.items()} == {"tpm": 999, "spend": 300_000, "size": 1100}
    assert (state["spend"].unit, state["spend"].currency, state["spend"].capacity) == ("money", "EUR", 500_000)
    assert (state["size"].unit, state["size"].currency) == ("prompt_tokens", "")
    refused = engine.consume("batch", BATCH, cost={**COSTS, "money": 300_001})
    assert refused.refused.name == "spend"

    assert engine.settle(first.reservation, {"money": 50_000}) is True
    after = engine.consume("batch", BATCH, cost={**COSTS, "money": 0, "prompt_tokens": 0})
    assert {state.name: state.remaining for state in after.states} == {"tpm": 998, "spend": 450_000, "size": 1100}
    other = engine.consume("batch", {**BATCH, "client_id": "app-2"}, cost={**COSTS, "prompt_tokens": 0})
    assert {state.name: state.remaining for state in other.states}["spend"] == 300_000


def test_what_a_decision_reserved_is_settled_by_its_price(engine: Any, world: World) -> None:
    key_id = world.keys["paul"].split("_")[1]
    name, value = world.credential("paul")
    sent = {"headers": {"host": HOST, name: value}, "body": b'{"prompt": "%s", "max_tokens": 1000}' % (b"x" * 388)}
    verdict = engine.decide("POST", "/api/batch", **sent)
    assert verdict.allowed
    assert verdict.reservation
    assert verdict.price.money(100, 1000) == 100 + 3000
    assert {state.name: state.remaining for state in verdict.limits} == {"tpm": 999, "spend": 496_900, "size": 1900}

    assert verdict.price.money(10, 1, cache_read_tokens=4) == 6 + 2 + 3
    assert engine.settle(verdict.reservation, {"money": verdict.price.money(10, 1), "prompt_tokens": 10}) is True
    look = engine.consume("batch", {**BATCH, "client_id": key_id}, cost={"requests": 1, "money": 0, "prompt_tokens": 0})
    assert {state.name: state.remaining for state in look.states}["spend"] == 500_000 - 13
    assert {state.name: state.remaining for state in look.states}["size"] == 2000 - 10


def test_what_a_decision_holds_among_what_runs_at_once_is_renewed_and_given_back(engine: Any, world: World) -> None:
    name, value = world.credential("paul")
    sent = {"headers": {"host": HOST, name: value}}
    first = engine.decide("POST", "/api/job", **sent)
    assert first.allowed
    assert first.reservation
    assert {state.name: state.remaining for state in first.limits} == {"tpm": 999, "running": 0}
    assert '"running";q=1;qu="concurrent-requests"' in dict(first.headers)["ratelimit-policy"]

    second = engine.decide("POST", "/api/job", **sent)
    assert (second.status, second.limit.name, dict(second.headers)["retry-after"]) == (429, "running", "1")
    assert engine.extend(first.reservation) == "extended"
    assert engine.settle(first.reservation, {"requests": 1}) is True
    assert engine.extend(first.reservation) == "gone"
    third = engine.decide("POST", "/api/job", **sent)
    assert third.allowed
    assert {state.name: state.remaining for state in third.limits} == {"tpm": 998, "running": 0}

    with pytest.raises(TidegateInvalid, match="'running' of endpoint:job holds a place"):
        engine.consume("job", PREMIUM)
    assert engine.settle(third.reservation, {"requests": 1}) is True
    held = engine.consume("job", PREMIUM, cost=5, hold=60.0)
    assert {state.name: state.remaining for state in held.states} == {"tpm": 995, "running": 0}


def test_a_reservation_grows_by_unit_where_there_is_room(engine: Any) -> None:
    held = engine.consume("batch", BATCH, cost=COSTS, hold=60.0)
    assert engine.extend(held.reservation, {"prompt_tokens": 1101}, hold=60.0) == "refused"
    assert engine.extend(held.reservation, {"prompt_tokens": 1100, "completion_tokens": 9}, hold=60.0) == "extended"
    look = engine.consume("batch", BATCH, cost={"requests": 1, "money": 0, "prompt_tokens": 0})
    assert {state.name: state.remaining for state in look.states} == {"tpm": 998, "spend": 300_000, "size": 0}
    assert engine.settle(held.reservation, {"prompt_tokens": 5}) is True
    look = engine.consume("batch", BATCH, cost={"requests": 1, "money": 0, "prompt_tokens": 0})
    assert {state.name: state.remaining for state in look.states}["size"] == 1995


def test_a_wrong_extension_is_the_callers_fault(engine: Any) -> None:
    for call in (
        lambda: engine.extend(""),
        lambda: engine.extend("some", hold=0.0),
        lambda: engine.extend("some", hold=math.nan),
        lambda: engine.extend("some", hold=86_401.0),
        lambda: engine.extend("some", {"dollars": 1}),
        lambda: engine.extend("some", {"money": 2**41}),
        lambda: engine.extend("some", {"requests": -1}),
    ):
        with pytest.raises(TidegateInvalid):
            call()
    assert engine.extend("never-made") == "gone"


def test_a_decision_that_counts_requests_alone_has_nothing_to_settle(engine: Any, world: World) -> None:
    verdict = chat(engine, world)
    assert (verdict.reservation, verdict.price) == ("", None)


def test_a_shadow_limit_that_would_have_refused_is_told_and_refuses_nothing(engine: Any) -> None:
    answers = [engine.consume("batch", BATCH, cost={"requests": 1, "money": 0, "prompt_tokens": 0}) for _ in range(3)]
    assert [answer.admitted for answer in answers] == [True] * 3
    assert [[state.name for state in answer.shadowed] for answer in answers] == [[], [], ["trial"]]
    assert all("trial" not in {state.name for state in answer.states} for answer in answers)


def test_a_cost_that_never_fits_says_so(engine: Any) -> None:
    assert math.isinf(engine.consume("chat", PREMIUM, cost=1001).refused.retry_after)


def test_decide_and_consume_count_together(engine: Any, world: World) -> None:
    assert chat(engine, world).allowed
    assert engine.consume("chat", {**FREE, "subject": "frida"}).admitted
    assert not chat(engine, world).allowed


def test_a_limit_of_the_endpoint_is_charged(engine: Any) -> None:
    answer = engine.consume("score", PREMIUM)
    assert {(state.scope, state.name) for state in answer.states} == {
        ("tier:premium", "tpm"),
        ("endpoint:score", "burst"),
    }


@pytest.mark.parametrize(
    ("endpoint", "attributes", "options", "message"),
    [
        ("nowhere", FREE, {}, "unknown endpoint 'nowhere'"),
        ("", FREE, {}, "unknown endpoint ''"),
        ("chat", FREE | {"tier": "gold"}, {}, "unknown tier 'gold'"),
        ("chat", {"tier": "free", "subject": "ida"}, {}, "unknown tenant ''"),
        ("chat", FREE | {"shoe": "42"}, {}, "unknown attribute 'shoe'"),
        ("chat", FREE | {"endpoint": "score"}, {}, "unknown attribute 'endpoint'"),
        ("chat", {"tenant": "acme", "tier": "free"}, {}, "counts by 'subject', which is missing"),
        ("chat", FREE, {"cost": 0}, "cost must be"),
        ("chat", FREE, {"cost": 2**40 + 1}, "cost must be"),
        ("chat", FREE, {"cost": -1}, "cannot be sent"),
        ("chat", FREE, {"cost": 2**64}, "cannot be sent"),
        ("chat", FREE, {"cost": {}}, "at least one unit"),
        ("chat", FREE, {"cost": {"requests": 2**40 + 1}}, "at most 2"),
        ("chat", FREE, {"cost": {"requests": -1}}, "cannot be sent"),
        ("chat", FREE, {"cost": {"dollars": 1}}, "unknown unit"),
        ("batch", BATCH, {"cost": 1}, "'spend' of endpoint:batch counts money: give its cost by unit"),
        ("batch", BATCH, {"cost": {"requests": 1, "money": 1}}, "'size' of endpoint:batch counts prompt_tokens"),
        ("batch", PREMIUM, {"cost": COSTS}, "counts by 'client_id', which is missing"),
        ("chat", FREE, {"hold": -1.0}, "hold_seconds must be"),
        ("chat", FREE, {"hold": math.nan}, "hold_seconds must be"),
        ("chat", FREE, {"hold": math.inf}, "hold_seconds must be"),
    ],
)
def test_a_wrong_charge_is_the_callers_fault(
    engine: Any, endpoint: str, attributes: dict[str, str], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(TidegateInvalid, match=message):
        engine.consume(endpoint, attributes, **options)


def test_a_wrong_settlement_is_the_callers_fault(engine: Any) -> None:
    with pytest.raises(TidegateInvalid):
        engine.settle("", 1)
    with pytest.raises(TidegateInvalid):
        engine.settle("some", -1)
    with pytest.raises(TidegateInvalid, match="unknown unit"):
        engine.settle("some", {"dollars": 1})
    with pytest.raises(TidegateInvalid, match="at most 2"):
        engine.settle("some", {"money": 2**41})
    assert engine.settle("never-made", 1) is False
