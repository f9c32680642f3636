"""Every ending of a response settles its reservation once, with the cost that the ending stands for."""

from __future__ import annotations

import gzip
import itertools
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tidegate.envoy.exchange import Exchange
from tidegate.envoy.handoff import Handoff
from tidegate.envoy.metering import Settlement
from tidegate.errors import UnsupportedBody
from tidegate.filtering.ruleset import FilterPlan
from tidegate.model import Hold, Price

from tests.envoy.priced import HELD, SSE, TOLD, USAGE, ZERO, chat, counted, event
from tests.envoy.world import BLOCK, HANDOFF, NOTHING, REDACT, SECRET, body_of, exchange, head


def settled(
    *parts: bytes, plan: FilterPlan = REDACT, end: bool = True, handoff: Handoff = HELD, **changes: Any
) -> Settlement | None:
    subject = exchange(plan)
    subject.head(head(**{"handoff": handoff, **changes}))
    assert parts == () or subject.finished or subject.settlement() is None
    for part in parts:
        subject.body(part, end=False)
    if end and parts:
        subject.body(b"", end=True)
    subject.lost()
    settlement = subject.settlement()
    assert subject.settlement() is None
    return settlement


def costs(*parts: bytes, **changes: Any) -> Mapping[str, int]:
    settlement = settled(*parts, **changes)
    assert settlement is not None
    assert settlement.reservation == "res-1"
    return settlement.costs


BOUGHT = HELD._replace(price=Price(1_000_000, 3_000_000, 500_000, 1_250_000, 50))


@pytest.mark.parametrize("plan", [REDACT, NOTHING])
def test_money_is_settled_at_the_price_of_the_decision(plan: FilterPlan) -> None:
    cached = {"usage": {"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 5}}}
    for usage, money in ((USAGE, 7 + 9 + 50), (cached, 4 + 3 + 9 + 50)):
        assert costs(chat("hello", **usage), handoff=BOUGHT, plan=plan)["money"] == money
    assert costs(event("x" * 20), event("x" * 20), handoff=BOUGHT, plan=plan, **SSE)["money"] == 100 + 30 + 50
    assert costs(event("x" * 40), handoff=BOUGHT, plan=plan, end=False, **SSE)["money"] == 100 + 30 + 50
    assert costs(b'{"error": {"message": "overloaded"}}', status=500, handoff=BOUGHT, plan=plan)["money"] == 0
    assert costs(details="no_healthy_upstream", handoff=BOUGHT, plan=plan)["money"] == 0


def test_a_withheld_response_costs_the_money_of_its_prompt() -> None:
    assert costs(b"{not json", handoff=BOUGHT)["money"] == 100 + 50


def test_more_money_than_a_limit_can_count_is_cut_and_counted_as_a_lie() -> None:
    usage = {"usage": {"prompt_tokens": 2**40, "completion_tokens": 2**40}}
    dear = HELD._replace(price=Price(*[10**12] * 5))
    settlement = settled(chat("hello", **usage), handoff=dear)
    assert settlement is not None
    assert (settlement.costs["money"], settlement.lies) == (2**40, 1)


@pytest.mark.parametrize("plan", [REDACT, NOTHING])
def test_a_response_costs_what_its_usage_says(plan: FilterPlan) -> None:
    assert costs(chat("hello", **USAGE), plan=plan) == TOLD
    assert costs(event("hello"), event("", **USAGE), b"data: [DONE]\n\n", plan=plan, **SSE) == TOLD


@pytest.mark.parametrize("plan", [REDACT, NOTHING])
def test_without_usage_the_text_is_counted(plan: FilterPlan) -> None:
    assert costs(chat("x" * 40), plan=plan) == counted(10)
    assert costs(event("x" * 20), event("x" * 20), plan=plan, **SSE) == counted(10)


@pytest.mark.parametrize("plan", [REDACT, NOTHING])
def test_a_response_that_is_cut_off_costs_what_was_seen(plan: FilterPlan) -> None:
    assert costs(event("x" * 40), event("x" * 400)[:-9], plan=plan, end=False, **SSE) == counted(10)
    body = chat("x" * 40, **USAGE)[:-1]
    assert costs(body, plan=plan, end=False) == counted(-(-len(body) // 4))


def test_a_blocked_response_was_written_all_the_same() -> None:
    assert costs(chat(f"mail {SECRET}", **USAGE), plan=BLOCK) == TOLD
    assert costs(event("x" * 40), event(f" {SECRET} "), event("never"), plan=BLOCK, **SSE)["completion_tokens"] >= 10


def test_a_withheld_response_costs_its_prompt() -> None:
    assert costs(b"{not json") == counted(0)
    assert costs(chat("x" * 70_000)) == counted(0)
    assert costs(content_type="image/png") == counted(0)
    assert costs(status=206) == counted(0)


def test_an_unknown_ruleset_costs_the_prompt() -> None:
    def unknown(_: Handoff) -> FilterPlan:
        raise UnsupportedBody("no such ruleset")

    subject = Exchange(unknown, lambda *_: None)
    subject.head(head(handoff=HELD))
    settlement = subject.settlement()
    assert settlement is not None
    assert settlement.costs == counted(0)


def test_a_stream_that_breaks_costs_what_had_left() -> None:
    assert costs(event("x" * 40), b"data: {broken\n\n", event("never"), **SSE) == counted(10)


def test_a_body_that_passes_malformed_is_counted_by_its_bytes_and_not_touched() -> None:
    subject = exchange(NOTHING)
    subject.head(head(handoff=HELD))
    raw = b"{not json" * 4
    assert body_of(subject.body(raw, end=False) + subject.body(b"", end=True)) == raw
    settlement = subject.settlement()
    assert settlement is not None
    assert settlement.costs == counted(9)


@pytest.mark.parametrize(
    "details", ["no_healthy_upstream", "upstream_reset_before_response_started", "route_not_found"]
)
def test_a_reply_of_envoys_own_costs_the_request_alone(details: str) -> None:
    assert costs(b"no upstream", details=details, status=503) == {**ZERO, "request_bytes": 0}


@pytest.mark.parametrize("plan", [REDACT, NOTHING])
def test_an_error_of_the_model_costs_no_tokens_unless_it_says_so(plan: FilterPlan) -> None:
    assert costs(b'{"error": {"message": "overloaded"}}', status=500, plan=plan) == ZERO
    assert costs(chat("", **USAGE), status=500, plan=plan) == TOLD


def test_what_nobody_can_count_costs_what_was_reserved() -> None:
    open_ = HELD._replace(unscannable="pass")
    assert costs(b"\x89PNG", content_type="image/png", handoff=open_) == {}
    assert costs(b"\x1f\x8b", content_encoding="gzip", plan=NOTHING) == {}
    assert costs(b"\x28\xb5", content_encoding="zstd", handoff=open_) == {}


def test_a_compressed_answer_that_is_read_is_counted_as_any_other() -> None:
    assert costs(gzip.compress(chat("hello", **USAGE)), content_encoding="gzip") == TOLD


def test_no_body_costs_the_prompt() -> None:
    assert costs(end=True, status=204) == counted(0)
    subject = exchange()
    subject.head(head(handoff=HELD, end=True))
    settlement = subject.settlement()
    assert settlement is not None
    assert settlement.costs == counted(0)


def test_a_lying_usage_is_reported_with_the_settlement() -> None:
    settlement = settled(chat("x" * 40, usage={"prompt_tokens": -1, "completion_tokens": 2**50}))
    assert settlement == Settlement("res-1", counted(10), lies=2)


LEASED = HELD._replace(prompt_tokens=0, hold=Hold(600.0, lease=60.0))


@pytest.mark.parametrize("plan", [REDACT, NOTHING, BLOCK])
@pytest.mark.parametrize(
    ("parts", "changes"),
    [
        ([chat("hello", **USAGE)], {}),
        ([chat(f"mail {SECRET}")], {}),
        ([event("x" * 40), event("", **USAGE)], SSE),
        ([event(f" {SECRET} ")], SSE),
        ([event("x" * 40)], SSE | {"end": False}),
        ([b"{not json"], {}),
        ([b"data: {broken\n\n"], SSE),
        ([chat("x" * 70_000)], {}),
        ([b"no upstream"], {"details": "no_healthy_upstream", "status": 503}),
        ([b"overloaded"], {"status": 500}),
        ([b"PNG"], {"content_type": "image/png"}),
        ([b"PNG"], {"content_type": "image/png", "handoff": LEASED._replace(unscannable="pass")}),
        ([b"gzip"], {"content_encoding": "gzip"}),
        ([b"ws"], {"status": 101}),
        ([], {"end": True, "status": 204}),
        ([], {}),
    ],
)
def test_where_nothing_is_priced_every_ending_gives_the_place_back_and_charges_nothing(
    plan: FilterPlan, parts: list[bytes], changes: dict[str, Any]
) -> None:
    settlement = settled(*parts, plan=plan, **{"handoff": LEASED, **changes})
    assert settlement is not None
    assert settlement.reservation == "res-1"
    assert not any(settlement.costs.values())
    assert "requests" not in settlement.costs


@pytest.mark.parametrize("plan", [REDACT, NOTHING])
def test_where_nothing_is_priced_nothing_is_read_to_be_counted(
    plan: FilterPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("nobody asked")

    monkeypatch.setattr("tidegate.envoy.metering.listen", never)
    for name in ("document", "text"):
        monkeypatch.setattr(f"tidegate.usage.meter.Meter.{name}", never)
    for parts, changes in (([chat("hello", **USAGE)], {}), ([event("x"), event("", **USAGE)], SSE)):
        assert settled(*parts, plan=plan, handoff=LEASED, **changes) is not None


def test_without_a_reservation_nothing_is_settled() -> None:
    assert settled(chat("hello", **USAGE), handoff=HANDOFF) is None
    subject = exchange()
    subject.lost()
    assert subject.settlement() is None


@pytest.mark.parametrize("plan", [REDACT, NOTHING])
@settings(deadline=None)
@given(places=st.lists(st.integers(0, 10_000), max_size=6))
def test_trailers_and_cuts_change_nothing(plan: FilterPlan, places: list[int]) -> None:
    stream = event("Hi bob@exa") + event("mple.com") + event("", **USAGE)
    edges = [0, *sorted(place % len(stream) for place in places), len(stream)]
    subject = exchange(plan)
    subject.head(head(handoff=HELD, **SSE))
    for start, stop in itertools.pairwise(edges):
        subject.body(stream[start:stop], end=False)
    subject.trailers()
    settlement = subject.settlement()
    assert settlement is not None
    assert settlement.costs == TOLD


def test_a_settlement_tells_by_how_much_it_is_more_than_was_held() -> None:
    for held, over in ((9, (("tokens", 1),)), (10, ()), (11, ())):
        small = HELD._replace(hold=Hold(600.0, (("tokens", held),), ("tpm",)))
        settlement = settled(chat("hello", **USAGE), handoff=small)
        assert settlement is not None
        assert (settlement.costs["tokens"], settlement.over) == (10, over)
