"""Every ending of a response settles its reservation once, with the cost that the ending stands for."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Literal

import grpc
import pytest
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc
from hypothesis import given, settings
from hypothesis import strategies as st
from tidegate.admission.queue.fair_queue import FairQueue
from tidegate.admission.queue.places import MemoryPlaces
from tidegate.clock import SystemClock
from tidegate.envoy.exchange import Exchange
from tidegate.envoy.handoff import FIELD, NAMESPACE, Handoff
from tidegate.envoy.heartbeats import Heartbeats
from tidegate.envoy.holds import Holds
from tidegate.envoy.metering import Settlement
from tidegate.envoy.places import Places
from tidegate.envoy.process import ProcessServicer
from tidegate.envoy.settle import Settlements
from tidegate.errors import StoreUnavailable, UnsupportedBody
from tidegate.filtering.ruleset import FilterPlan
from tidegate.model import Hold, Price

from tests.envoy.test_exchange import BLOCK, HANDOFF, NOTHING, REDACT, SECRET, body_of, exchange, head

HELD = HANDOFF._replace(reservation="res-1", prompt_tokens=100, hold=Hold(600.0, (("tokens", 1_000_000),), ("tpm",)))
USAGE = {"usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}}
TOLD = {"prompt_tokens": 7, "completion_tokens": 3, "tokens": 10}
ZERO = {"prompt_tokens": 0, "completion_tokens": 0, "tokens": 0, "money": 0}


def counted(completion: int) -> dict[str, int]:
    return {"prompt_tokens": 100, "completion_tokens": completion, "tokens": 100 + completion}


def chat(text: str, **more: Any) -> bytes:
    return json.dumps({"choices": [{"message": {"content": text}}], **more}).encode()


def event(text: str, **more: Any) -> bytes:
    choices = [{"index": 0, "delta": {"content": text}}]
    return f"data: {json.dumps({'choices': choices, **more})}\n\n".encode()


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


SSE = {"content_type": "text/event-stream"}
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


class Desk:
    """A store that answers when it is told to."""

    def __init__(self, failure: Exception | None = None, known: bool = True) -> None:
        self.failure, self.known = failure, known
        self.gate = asyncio.Event()
        self.gate.set()
        self.seen: list[tuple[str, Mapping[str, int]]] = []
        self.outcomes: list[tuple[str, int]] = []
        self.errors: list[Exception] = []

    async def settle(self, reservation: str, given: Mapping[str, int]) -> bool:
        await self.gate.wait()
        self.seen.append((reservation, given))
        if self.failure is not None:
            raise self.failure
        return self.known

    async def extend(self, reservation: str, given: Mapping[str, int], *, hold: float) -> Literal["extended"]:
        return "extended"

    def settlements(self) -> Settlements:
        return Settlements(self.settle, record=lambda *given: self.outcomes.append(given), on_error=self.errors.append)


@pytest.mark.parametrize(
    ("desk", "outcome"),
    [
        (lambda: Desk(), "settled"),
        (lambda: Desk(known=False), "late"),
        (lambda: Desk(StoreUnavailable("down")), "unavailable"),
        (lambda: Desk(RuntimeError("boom")), "failed"),
    ],
)
async def test_how_each_settlement_went_is_recorded(desk: Any, outcome: str) -> None:
    made: Desk = desk()
    settlements = made.settlements()
    settlements.start(Settlement("res-1", {"tokens": 3}, lies=2))
    await settlements.drained()
    assert made.seen == [("res-1", {"tokens": 3})]
    assert made.outcomes == [(outcome, 2)]
    assert made.errors == ([made.failure] if outcome == "failed" else [])


def message(handoff: Handoff | None = None, body: bytes = b"", end: bool = False) -> ext_proc.ProcessingRequest:
    made = ext_proc.ProcessingRequest()
    if handoff is None:
        made.response_body.body = body
        made.response_body.end_of_stream = end
        return made
    for name, value in ((":status", "200"), ("content-type", "text/event-stream")):
        field = made.response_headers.headers.headers.add()
        field.key, field.raw_value = name, value.encode()
    made.metadata_context.filter_metadata[NAMESPACE].fields[FIELD].string_value = handoff.encode()
    return made


class Line:
    """A gRPC context that takes what is written."""

    async def write(self, response: Any) -> None:
        await asyncio.sleep(0)

    async def abort(self, *_: Any) -> None:
        raise grpc.aio.AbortError


class Record(Line):
    def __init__(self) -> None:
        self.sent: list[ext_proc.ProcessingResponse] = []

    async def write(self, response: Any) -> None:
        self.sent.append(response)

    def out(self) -> bytes:
        bodies = (r.response_body.response.body_mutation.streamed_response.body for r in self.sent)
        return b"".join(bodies)


def servicer(
    desk: Desk, record: Callable[..., None] = lambda *_: None, make: Callable[[], Exchange] = exchange
) -> ProcessServicer:
    queue = FairQueue(MemoryPlaces(SystemClock()), SystemClock(), where="m")
    return ProcessServicer(
        exchange=make, record=record, on_error=desk.errors.append, live=lambda _: None,
        settlements=desk.settlements(), holds=Holds(desk, record=lambda *_: None, on_error=desk.errors.append),
        heartbeats=Heartbeats(lambda: 0.0, clock=SystemClock(), record=lambda: None),
        places=Places(queue, record=lambda *_: None, on_error=desk.errors.append),
    )  # fmt: skip


async def test_a_stream_that_is_cancelled_settles_and_shutdown_waits_for_it() -> None:
    desk = Desk()
    desk.gate.clear()
    subject = servicer(desk)
    reached = asyncio.Event()

    async def messages() -> AsyncIterator[ext_proc.ProcessingRequest]:
        yield message(HELD)
        yield message(body=event("x" * 40))
        reached.set()
        await asyncio.Event().wait()

    stream = asyncio.create_task(subject.process(messages(), Line()))
    await reached.wait()
    stream.cancel()
    drained = asyncio.create_task(subject.drained())
    with pytest.raises(asyncio.CancelledError):
        await stream
    await asyncio.sleep(0)
    assert not drained.done()
    desk.gate.set()
    await drained
    assert desk.seen == [("res-1", counted(10))]


async def test_a_stream_that_ends_settles_once_and_never_waits_for_the_store() -> None:
    desk = Desk()
    desk.gate.clear()
    subject = servicer(desk)

    async def messages() -> AsyncIterator[ext_proc.ProcessingRequest]:
        yield message(HELD)
        yield message(body=event("hello", **USAGE), end=True)

    await subject.process(messages(), Line())
    desk.gate.set()
    await subject.drained()
    assert desk.seen == [("res-1", TOLD)]


@pytest.mark.parametrize("body", [b"data: {broken\n\n", b"data: \xff\n\n"])
async def test_a_stream_that_is_aborted_settles(body: bytes) -> None:
    desk = Desk(StoreUnavailable("down"))
    subject = servicer(desk)

    async def messages() -> AsyncIterator[ext_proc.ProcessingRequest]:
        yield message(HELD)
        yield message(body=event("x" * 40) + body)
        yield message(HELD)

    with pytest.raises(grpc.aio.AbortError):
        await subject.process(messages(), Line())
    await subject.drained()
    assert desk.outcomes == [("unavailable", 0)]
    assert desk.seen == [("res-1", counted(10))]


def test_a_settlement_tells_by_how_much_it_is_more_than_was_held() -> None:
    for held, over in ((9, (("tokens", 1),)), (10, ()), (11, ())):
        small = HELD._replace(hold=Hold(600.0, (("tokens", held),), ("tpm",)))
        settlement = settled(chat("hello", **USAGE), handoff=small)
        assert settlement is not None
        assert (settlement.costs["tokens"], settlement.over) == (10, over)


async def test_what_was_too_much_is_counted_once_it_is_settled() -> None:
    told: list[tuple[str, int]] = []
    for answer, counted_as in ((True, [("tokens", 3)]), (False, [])):
        told.clear()

        async def settle(_reservation: str, _costs: Mapping[str, int], answer: bool = answer) -> bool:
            return answer

        settlements = Settlements(
            settle, record=lambda *_: None, on_error=lambda _: None, over=lambda *what: told.append(what)
        )
        settlements.start(Settlement("res-1", TOLD, 0, (("tokens", 3),)))
        await settlements.drained()
        assert told == counted_as
