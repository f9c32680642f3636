"""One stream for the whole of an exchange: decided, charged and filtered where nobody has decided before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import grpc
import pytest
from envoy.extensions.filters.http.ext_proc.v3.processing_mode_pb2 import ProcessingMode
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc
from tidegate.envoy import translate_check
from tidegate.envoy.attributes import Asked
from tidegate.envoy.decisions import Decisions
from tidegate.envoy.exchange import Exchange
from tidegate.envoy.handoff import FIELD, NAMESPACE
from tidegate.envoy.verdicts import Admitted, Refused
from tidegate.model import BodyState, Deny, Hold, Request

from tests.envoy.served import Desk, Record, message, servicer
from tests.envoy.verdicts import ADMITTED, HANDOFF, REFUSED
from tests.envoy.world import sse

MODES = ProcessingMode.BodySendMode


class Decides(Decisions):
    """Gives one verdict, and keeps what it was asked; with `until`, once that is set."""

    def __init__(self, verdict: Admitted | Refused, until: asyncio.Event | None = None) -> None:
        self.verdict, self.until = verdict, until
        self.asked: list[Asked] = []
        self.begun = asyncio.Event()

    async def decide(
        self, read: Callable[[int], Asked], metadata: Callable[[], Mapping[str, str]]
    ) -> Admitted | Refused:
        self.asked.append(read(0))
        self.begun.set()
        if self.until is not None:
            await self.until.wait()
        return self.verdict


def request(
    *, body: bool = False, peer: str = "192.0.2.1:4711", handed_over: bool = False, **more: bytes
) -> ext_proc.ProcessingRequest:
    made = ext_proc.ProcessingRequest()
    headers = {":method": b"POST", ":path": b"/v1/chat?a", ":authority": b"models.example.com", "x-request-id": b"r1"}
    for name, value in (headers | {name.replace("_", "-"): value for name, value in more.items()}).items():
        field = made.request_headers.headers.headers.add()
        field.key, field.raw_value = name, value
    made.protocol_config.request_body_mode = MODES.BUFFERED if body else MODES.NONE
    told = made.attributes["envoy.filters.http.ext_proc"].fields
    told["request.id"].string_value = "r1"
    if peer:
        told["source.address"].string_value = peer
    if handed_over:
        made.metadata_context.filter_metadata[NAMESPACE].fields[FIELD].string_value = HANDOFF.encode()
    return made


def request_body(data: bytes) -> ext_proc.ProcessingRequest:
    made = ext_proc.ProcessingRequest()
    made.request_body.body = data
    made.request_body.end_of_stream = True
    return made


def request_trailers() -> ext_proc.ProcessingRequest:
    made = ext_proc.ProcessingRequest()
    made.request_trailers.SetInParent()
    return made


def response_head(details: str = "via_upstream") -> ext_proc.ProcessingRequest:
    made = message(HANDOFF)
    made.metadata_context.Clear()
    made.attributes["envoy.filters.http.ext_proc"].fields["response.code_details"].string_value = details
    return made


async def carried(decides: Decisions, *messages: ext_proc.ProcessingRequest, desk: Desk | None = None) -> Any:
    """What was written, and how the exchange was told of on record."""
    line, ended = Record(), []

    async def given() -> AsyncIterator[ext_proc.ProcessingRequest]:
        for one in messages:
            yield one

    def record(exchange: Exchange, request_id: str) -> None:
        ended.append((exchange.outcome, request_id))

    subject = servicer(desk or Desk(), record, decisions=decides)
    await subject.process(given(), line)
    await subject.drained()
    return line.sent, ended


async def test_a_request_that_nobody_decided_on_is_decided_and_goes_on_as_its_caller() -> None:
    decides = Decides(ADMITTED._replace(told=(("x-risk", "0"),), unwanted=("x-tidegate-admin",)))
    (answer, *rest), ended = await carried(
        decides, request(), response_head(), message(body=sse("mail bob@example.com now"), end=True)
    )
    (asked,) = decides.asked
    assert isinstance(asked.request, Request)
    assert (asked.request.path, asked.request.client_ip, asked.id) == ("/v1/chat", "192.0.2.1", "r1")
    change = answer.request_headers.response.header_mutation
    assert {option.header.key: option.header.raw_value for option in change.set_headers} == {
        "x-tidegate-subject": b"ada",
        "x-tidegate-tenant": b"acme",
        "x-tidegate-tier": b"free",
        "x-tidegate-endpoint": b"chat",
        "x-risk": b"0",
    }
    assert list(change.remove_headers) == ["authorization", "x-tidegate-admin"]
    shown = {o.header.key: o.header.raw_value for o in rest[0].response_headers.response.header_mutation.set_headers}
    assert shown["x-ratelimit-remaining-requests"] == b"19"
    out = b"".join(one.response_body.response.body_mutation.streamed_response.body for one in rest)
    assert b"[EMAIL]" in out
    assert b"bob" not in out
    assert ended == [("rewritten", "r1")]


async def test_both_filters_give_a_refused_client_the_same_answer() -> None:
    (answer,), ended = await carried(Decides(REFUSED), request())
    ours, checks = answer.immediate_response, translate_check.deny_response(REFUSED).denied_response
    assert ours.status.code == checks.status.code == 429
    assert ours.body.decode() == checks.body
    headers = {option.header.key: option.header.raw_value.decode() for option in ours.headers.set_headers}
    assert headers == {option.header.key: option.header.value for option in checks.headers}
    assert ours.details == "tidegate_rate_limit_exceeded"
    assert ended == [("passed", "r1")]  # an answer of ours, as ext_proc sees that to a Check's denial


async def test_a_body_that_follows_is_waited_for_and_decided_on_with_its_headers() -> None:
    decides = Decides(ADMITTED)
    (first, second), _ = await carried(decides, request(body=True), request_body(b'{"model":"small"}'))
    assert first.WhichOneof("response") == "request_headers"
    assert not first.request_headers.response.header_mutation.set_headers  # nothing is known of the caller yet
    (asked,) = decides.asked
    assert isinstance(asked.request, Request)
    assert (asked.request.body, asked.request.body_state) == (b'{"model":"small"}', BodyState.WHOLE)
    change = second.request_body.response.header_mutation
    assert "x-tidegate-subject" in [option.header.key for option in change.set_headers]
    assert list(change.remove_headers) == ["authorization"]


async def test_a_body_that_is_refused_never_goes_on() -> None:
    (first, second), _ = await carried(Decides(REFUSED), request(body=True), request_body(b"{}"))
    assert first.WhichOneof("response") == "request_headers"
    assert second.WhichOneof("response") == "immediate_response"


async def test_trailers_in_the_place_of_the_body_are_refused_and_put_on_record() -> None:
    class Refuses(Decides):
        async def decide(
            self, read: Callable[[int], Asked], metadata: Callable[[], Mapping[str, str]]
        ) -> Admitted | Refused:
            verdict = await super().decide(read, metadata)
            assert isinstance(self.asked[-1].request, Deny)
            return verdict

    decides = Refuses(REFUSED)
    (_, second), ended = await carried(decides, request(body=True), request_trailers())
    assert second.immediate_response.status.code == 429
    assert [one.id for one in decides.asked] == ["r1"]
    assert ended == [("passed", "r1")]


async def test_trailers_behind_a_body_that_was_decided_on_go_on() -> None:
    decides = Decides(ADMITTED)
    (_, second, third), _ = await carried(decides, request(body=True), request_body(b"{}"), request_trailers())
    assert second.WhichOneof("response") == "request_body"
    assert third == ext_proc.ProcessingResponse(request_trailers=ext_proc.TrailersResponse())
    assert len(decides.asked) == 1


async def test_nobody_waits_for_the_end_of_a_tunnel() -> None:
    sent = request(body=True)
    sent.request_headers.headers.headers[0].raw_value = b"CONNECT"
    decides = Decides(REFUSED)
    (answer,), _ = await carried(decides, sent)
    assert answer.immediate_response.status.code == 429
    assert len(decides.asked) == 1


async def test_usage_is_asked_for_in_the_body_that_was_decided_on() -> None:
    held = ADMITTED._replace(handoff=HANDOFF._replace(reservation="res-1", hold=Hold(60.0, (("tokens", 10),))))
    sent = request(body=True, **{"content_type": b"application/json"})
    for field in sent.request_headers.headers.headers:
        if field.key == ":path":
            field.raw_value = b"/v1/chat/completions"
    (_, second), _ = await carried(Decides(held), sent, request_body(b'{"stream":true,"messages":[]}'))
    change = second.request_body.response
    assert b'"include_usage":true' in change.body_mutation.body
    set_to = {option.header.key: option.header.raw_value for option in change.header_mutation.set_headers}
    assert set_to["content-length"] == str(len(change.body_mutation.body)).encode()
    assert set_to["x-tidegate-subject"] == b"ada"


async def test_what_check_has_decided_is_not_decided_again() -> None:
    decides = Decides(REFUSED)
    (answer,), _ = await carried(decides, request(handed_over=True))
    assert answer.WhichOneof("response") == "request_headers"
    assert decides.asked == []


async def test_a_decision_of_checks_that_was_lost_is_not_taken_again_but_withheld() -> None:
    decides = Decides(ADMITTED)
    (answer,), _ = await carried(decides, request(peer=""))
    assert answer.immediate_response.status.code == 500
    assert decides.asked == []


async def test_a_response_without_a_decision_is_withheld() -> None:
    decides = Decides(ADMITTED)
    _, answer = (await carried(decides, request(body=True), response_head()))[0]
    assert answer.immediate_response.status.code == 500
    assert decides.asked == []


async def test_envoys_own_answer_before_a_body_was_whole_passes() -> None:
    decides = Decides(ADMITTED)
    (_, answer), _ = await carried(decides, request(body=True), response_head("request_payload_too_large"))
    assert answer.WhichOneof("response") == "response_headers"
    assert decides.asked == []


@pytest.mark.parametrize(("peer", "address"), [("[2001:db8::1]:80", "2001:db8::1"), ("192.0.2.9:1", "192.0.2.9")])
async def test_the_callers_address_is_that_of_the_connection(peer: str, address: str) -> None:
    decides = Decides(ADMITTED)
    await carried(decides, request(peer=peer))
    (asked,) = decides.asked
    assert isinstance(asked.request, Request)
    assert asked.request.client_ip == address


async def test_what_is_no_request_is_handed_on_as_a_refusal() -> None:
    decides = Decides(REFUSED)
    await carried(decides, request(x_bad=b"\xff"))
    assert not isinstance(decides.asked[0].request, Request)
    assert decides.asked[0].id == "r1"


@pytest.mark.parametrize("body", [False, True])
async def test_a_client_that_leaves_while_it_is_decided_on_leaves_nothing_behind(body: bool) -> None:
    decides, desk, line = Decides(ADMITTED, asyncio.Event()), Desk(), Record()
    subject = servicer(desk, decisions=decides)

    async def given() -> AsyncIterator[ext_proc.ProcessingRequest]:
        yield request(body=body)
        if body:
            yield request_body(b"{}")
        await asyncio.Event().wait()

    stream = asyncio.create_task(subject.process(given(), line))
    await decides.begun.wait()
    stream.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stream
    await subject.drained()
    assert desk.seen == []
    assert [one.WhichOneof("response") for one in line.sent] == (["request_headers"] if body else [])


async def test_a_decision_that_breaks_ends_the_stream_with_an_error() -> None:
    class Breaks(Decides):
        async def decide(self, *_: Any) -> Admitted | Refused:
            raise RuntimeError("boom")

    desk = Desk()

    async def given() -> AsyncIterator[ext_proc.ProcessingRequest]:
        yield request()

    with pytest.raises(grpc.aio.AbortError):
        await servicer(desk, decisions=Breaks(ADMITTED)).process(given(), Record())
    assert [type(error) for error in desk.errors] == [RuntimeError]


async def test_what_was_charged_is_settled_once_when_the_stream_ends_before_a_response() -> None:
    held = ADMITTED._replace(handoff=HANDOFF._replace(reservation="res-1", hold=Hold(60.0, (("tokens", 10),))))
    desk = Desk()
    await carried(Decides(held), request(), desk=desk)
    assert [reservation for reservation, _ in desk.seen] == ["res-1"]
