"""The request half: what goes to the model, what is settled when no response comes, and usage that nobody sees."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from envoy.extensions.filters.http.ext_proc.v3.processing_mode_pb2 import ProcessingMode
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc
from hypothesis import given, settings
from hypothesis import strategies as st
from tidegate.envoy.commands import Command, Continue, Forward, Reply, RequestBody, RequestHead
from tidegate.envoy.exchange import Exchange
from tidegate.envoy.handoff import FIELD, NAMESPACE
from tidegate.errors import ProtocolViolation
from tidegate.filtering.ruleset import FilterPlan

from tests.envoy.priced import HELD, SSE, TOLD, USAGE, ZERO, counted, event
from tests.envoy.served import Desk, Record, message, servicer
from tests.envoy.world import HANDOFF, NOTHING, REDACT, body_of, exchange, head, sse

ASKING = b'{"stream":true,"messages":[]}'
ASKED = b'{"stream_options":{"include_usage":true},"stream":true,"messages":[]}'
LAST = f"data: {json.dumps({'choices': [], **USAGE})}\n\n".encode()


def request(**changes: Any) -> RequestHead:
    parts = {"method": "POST", "path": "/v1/chat/completions", "content_encoding": "", "body": True, "handoff": HELD}
    return RequestHead(**(parts | changes))


def begun(plan: FilterPlan = REDACT, body: bytes = ASKING, **changes: Any) -> Exchange:
    subject = exchange(plan)
    assert subject.request(request(**changes)) == [Forward()]
    subject.request_body(body)
    return subject


def settled(subject: Exchange) -> dict[str, int] | None:
    settlement = subject.settlement()
    assert subject.settlement() is None
    return None if settlement is None else dict(settlement.costs)


def test_the_model_is_sent_a_request_that_asks() -> None:
    subject = exchange()
    assert subject.request(request()) == [Forward()]
    assert subject.request_body(ASKING) == [RequestBody(ASKED)]


@pytest.mark.parametrize(
    "changes",
    [
        {"handoff": HANDOFF},
        {"handoff": HELD._replace(hold=HELD.hold._replace(amounts=()))},
        {"path": "/v1/messages"},
        {"path": "/v1/responses"},
        {"content_encoding": "gzip"},
        {"method": "PUT"},
    ],
)
def test_it_is_left_alone_where_nothing_would_be_known_by_asking(changes: dict[str, Any]) -> None:
    subject = exchange()
    assert subject.request(request(**changes)) == [Forward()]
    assert subject.request_body(ASKING) == [RequestBody(None)]


def test_a_request_without_a_decision_never_reaches_the_model() -> None:
    subject = exchange()
    (reply,) = subject.request(request(handoff=None))
    assert isinstance(reply, Reply)
    assert (reply.deny.status, subject.failure) == (500, "handoff_missing")


def test_a_client_that_leaves_before_the_response_begins_has_used_its_prompt() -> None:
    subject = begun()
    subject.lost()
    assert settled(subject) == counted(0)
    without_body = exchange()
    without_body.request(request(body=False))
    without_body.lost()
    assert settled(without_body) == counted(0)


def test_a_request_that_was_not_passed_on_has_used_nothing() -> None:
    subject = exchange()
    subject.request(request())
    subject.lost()
    assert settled(subject) == {**ZERO, "request_bytes": 0}


def test_a_model_that_cannot_be_reached_has_used_nothing() -> None:
    subject = begun()
    (answered,) = subject.head(head(handoff=HELD, details="no_healthy_upstream", status=503, end=True))
    assert isinstance(answered, Continue)
    assert settled(subject) == {**ZERO, "request_bytes": 0}


def test_the_decision_is_the_one_that_came_with_the_request() -> None:
    subject = begun()
    subject.head(head(handoff=None, **SSE))
    subject.body(event("", **USAGE), end=True)
    assert settled(subject) == TOLD


def test_events_out_of_order_are_a_protocol_violation() -> None:
    with pytest.raises(ProtocolViolation):
        exchange().request_body(ASKING)
    for late in (lambda e: e.request(request()), lambda e: e.request_body(ASKING)):
        with pytest.raises(ProtocolViolation):
            late(begun())
        answered = exchange()
        answered.head(head(**SSE))
        with pytest.raises(ProtocolViolation):
            late(answered)


async def messages_of(content: bytes) -> AsyncIterator[ext_proc.ProcessingRequest]:
    headers, body = ext_proc.ProcessingRequest(), ext_proc.ProcessingRequest()
    for name, value in ((":method", "POST"), (":path", "/v1/chat/completions")):
        field = headers.request_headers.headers.headers.add()
        field.key, field.raw_value = name, value.encode()
    headers.protocol_config.request_body_mode = ProcessingMode.BUFFERED
    headers.metadata_context.filter_metadata[NAMESPACE].fields[FIELD].string_value = HELD.encode()
    yield headers
    body.request_body.body, body.request_body.end_of_stream = content, True
    yield body


async def test_a_client_that_leaves_early_is_settled_and_recorded_under_the_id_of_its_request() -> None:
    desk, seen = Desk(), []
    subject = servicer(desk, record=lambda exchange, request_id: seen.append((exchange.outcome, request_id)))
    line = Record()
    await subject.process(messages_of(ASKING), line)
    await subject.drained()
    assert [sent.WhichOneof("response") for sent in line.sent] == ["request_headers", "request_body"]
    assert line.sent[1].request_body.response.body_mutation.body == ASKED
    assert desk.seen == [("res-1", counted(0))]
    assert seen == [("truncated", "r1")]


async def test_a_long_request_does_not_wait_for_a_long_response() -> None:
    """Envoy gives a request up after its message timeout; a response may be read for longer than that."""
    reading, read = threading.Event(), threading.Event()

    class Slow(Exchange):
        def body(self, data: bytes, end: bool) -> list[Command]:
            reading.set()
            assert read.wait(20)
            return super().body(data, end)

    async def response() -> AsyncIterator[ext_proc.ProcessingRequest]:
        yield message(HELD)
        yield message(body=event("x" * 100_000), end=True)

    subject, line = servicer(Desk(), make=lambda: Slow(exchange().plan, exchange().open_body)), Record()
    slow = asyncio.create_task(subject.process(response(), Record()))
    await asyncio.to_thread(reading.wait)
    try:
        long = ASKING.replace(b"[]", b'["' + b"y" * 100_000 + b'"]')
        await asyncio.wait_for(subject.process(messages_of(long), line), 10)
    finally:
        read.set()
        await slow
    assert line.sent[1].request_body.response.body_mutation.body.startswith(ASKED[:40])


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[start:stop] for start, stop in itertools.pairwise(edges)]


def played(subject: Exchange, parts: list[bytes], *, trailers: bool, **changes: Any) -> list[Command]:
    subject.head(head(**{"handoff": HELD, **SSE, **changes}))
    commands = [command for part in parts for command in subject.body(part, end=False)]
    return commands + (subject.trailers() if trailers else subject.body(b"", end=True))


@pytest.mark.parametrize("plan", [REDACT, NOTHING])
@settings(deadline=None)
@given(st.lists(st.integers(0, 10_000), max_size=8), st.booleans(), st.sampled_from(["", ',"usage":null']))
def test_who_did_not_ask_sees_the_same_stream_however_it_is_cut(
    plan: FilterPlan, places: list[int], trailers: bool, null: str
) -> None:
    told = (sse("Hi bob@exa", "mple.com, ", "bye", done=False).decode()).replace("}]}\n", "}]" + null + "}\n").encode()
    asked = begun(plan)
    seen = body_of(played(asked, cut(told + LAST + b"data: [DONE]\n\n", places), trailers=trailers))
    other = body_of(played(exchange(plan), [sse("Hi bob@exa", "mple.com, ", "bye")], trailers=trailers))
    assert seen == other
    assert settled(asked) == TOLD


@settings(deadline=None)
@given(st.lists(st.integers(0, 10_000), max_size=8), st.booleans())
def test_a_compressed_stream_that_is_read_hides_it_too(places: list[int], trailers: bool) -> None:
    told = sse("Hi bob@exa", "mple.com, ", "bye", done=False) + LAST + b"data: [DONE]\n\n"
    asked = begun()
    parts = cut(gzip.compress(told), places)
    seen = body_of(played(asked, parts, trailers=trailers, content_encoding="gzip"))
    other = body_of(played(exchange(), [sse("Hi bob@exa", "mple.com, ", "bye")], trailers=trailers))
    assert seen == other
    assert settled(asked) == TOLD


@pytest.mark.parametrize("plan", [REDACT, NOTHING])
def test_who_asked_sees_it(plan: FilterPlan) -> None:
    stream = event("Hi. ", usage=None) + LAST + b"data: [DONE]\n\n"
    subject = begun(plan, body=b'{"stream":true,"messages":[],"stream_options":{"include_usage":true}}')
    assert body_of(played(subject, [stream], trailers=False)) == stream


def test_a_document_keeps_its_usage() -> None:
    document = json.dumps({"choices": [], **USAGE}).encode()
    for plan in (REDACT, NOTHING):
        subject = begun(plan)
        assert body_of(played(subject, [document], trailers=False, content_type="application/json")) == document


def test_what_was_settled_stays_to_be_told() -> None:
    subject = begun()
    assert subject.settled is None
    subject.lost()
    costs = settled(subject)
    assert costs
    assert subject.settled == costs
