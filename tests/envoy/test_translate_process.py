"""Process' messages in, Process' messages out: which field Envoy reads is measured, and held here."""

from __future__ import annotations

import pytest
from envoy.config.core.v3 import base_pb2
from envoy.extensions.filters.http.ext_proc.v3.processing_mode_pb2 import ProcessingMode
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from tidegate.envoy import translate_process as translate
from tidegate.envoy.commands import Body, Continue, Forward, Reply, RequestBody, RequestHead, Trailers
from tidegate.envoy.handoff import FIELD, NAMESPACE
from tidegate.errors import ProtocolViolation
from tidegate.model import Deny, Reason, Request

from tests.envoy.verdicts import HANDOFF

OVERWRITE = base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD


def head_message(handoff: str | None, details: str = "via_upstream") -> ext_proc.ProcessingRequest:
    message = ext_proc.ProcessingRequest()
    for name, value in {":status": "200", "content-type": "application/json"}.items():
        header = message.response_headers.headers.headers.add()
        header.key, header.raw_value = name, value.encode()
    message.attributes["envoy.filters.http.ext_proc"].fields["response.code_details"].string_value = details
    message.attributes["envoy.filters.http.ext_proc"].fields["request.id"].string_value = "r1"
    if handoff is not None:
        message.metadata_context.filter_metadata[NAMESPACE].fields[FIELD].string_value = handoff
    return message


def test_the_response_head_carries_the_handoff() -> None:
    head, request_id = translate.head_of(head_message(HANDOFF.encode()))
    assert (head.status, head.content_type, head.details, request_id) == (200, "application/json", "via_upstream", "r1")
    assert head.handoff == HANDOFF
    assert translate.head_of(head_message(None))[0].handoff is None


def request_message(handoff: str | None, mode: int, *, end: bool = False) -> ext_proc.ProcessingRequest:
    message = ext_proc.ProcessingRequest()
    for name, value in {":method": "POST", ":path": "/v1/completions?a", "content-encoding": "gzip"}.items():
        header = message.request_headers.headers.headers.add()
        header.key, header.raw_value = name, value.encode()
    message.request_headers.end_of_stream = end
    message.protocol_config.request_body_mode = mode
    if handoff is not None:
        message.metadata_context.filter_metadata[NAMESPACE].fields[FIELD].string_value = handoff
    return message


def test_the_request_head_says_whether_a_body_follows() -> None:
    modes = ProcessingMode.BodySendMode
    head = translate.request_head_of(request_message(HANDOFF.encode(), modes.BUFFERED))
    assert head == RequestHead("POST", "/v1/completions?a", "gzip", True, HANDOFF)
    assert not translate.request_head_of(request_message(None, modes.NONE)).body
    assert not translate.request_head_of(request_message(None, modes.BUFFERED, end=True)).body
    assert translate.request_head_of(request_message(None, modes.NONE)).handoff is None
    with pytest.raises(ProtocolViolation):
        translate.request_head_of(request_message("{}", modes.NONE))


@pytest.mark.parametrize("mode", ["STREAMED", "BUFFERED_PARTIAL", "FULL_DUPLEX_STREAMED", "GRPC"])
def test_a_request_body_that_would_come_in_pieces_is_a_protocol_violation(mode: str) -> None:
    with pytest.raises(ProtocolViolation, match=f"{mode}; this service takes BUFFERED"):
        translate.request_head_of(request_message(None, ProcessingMode.BodySendMode.Value(mode)))


def test_a_request_body_that_is_replaced_has_its_length_declared() -> None:
    answered = translate.processing_response(RequestBody(b"hello"), "r1", "openai").request_body.response
    assert answered.body_mutation.body == b"hello"
    (length,) = answered.header_mutation.set_headers
    assert (length.header.key, length.header.raw_value, length.append_action) == ("content-length", b"5", OVERWRITE)
    kept = translate.processing_response(RequestBody(), "r1", "openai").request_body.response
    assert not kept.HasField("body_mutation")
    assert not kept.HasField("header_mutation")


@given(st.binary(max_size=300))
def test_any_bytes_that_parse_as_headers_give_a_request_or_a_deny(data: bytes) -> None:
    message = ext_proc.ProcessingRequest()
    try:
        message.request_headers.MergeFromString(data)
    except DecodeError:  # gRPC answers that itself
        return
    assert isinstance(translate.request_of(message, b"", trusted_hops=1).request, Deny | Request)


@given(
    st.lists(st.tuples(st.sampled_from([":method", ":path", ":authority", "x-a"]), st.binary(max_size=20)), max_size=6)
)
def test_headers_in_any_bytes_give_a_request_or_a_deny(fields: list[tuple[str, bytes]]) -> None:
    message = ext_proc.ProcessingRequest()
    for name, value in fields:
        field = message.request_headers.headers.headers.add()
        field.key, field.raw_value = name, value
    asked = translate.request_of(message, b"", trusted_hops=1)
    assert isinstance(asked.request, Deny | Request)


def test_an_unreadable_handoff_is_a_protocol_violation() -> None:
    with pytest.raises(ProtocolViolation):
        translate.head_of(head_message("{}"))


def test_ext_proc_headers_are_set_by_raw_value() -> None:
    answered = translate.processing_response(Continue((("x-a", "b"),), ("content-length",)), "r1", "openai")
    mutation = answered.response_headers.response.header_mutation
    assert mutation.set_headers[0].header.raw_value == b"b"
    assert not mutation.set_headers[0].header.value
    assert list(mutation.remove_headers) == ["content-length"]


def test_each_command_becomes_the_message_envoy_expects() -> None:
    kinds = {
        Body(b"x", end=True): "response_body",
        Trailers(): "response_trailers",
        Continue(): "response_headers",
        Forward(): "request_headers",
        RequestBody(): "request_body",
        RequestBody(b"x"): "request_body",
        Reply(Deny(502, Reason.RESPONSE_WITHHELD, "withheld")): "immediate_response",
    }
    for command, kind in kinds.items():
        assert translate.processing_response(command, "r1", "openai").WhichOneof("response") == kind
    body = translate.processing_response(Body(b"x", end=True), "r1", "openai")
    streamed = body.response_body.response.body_mutation.streamed_response
    assert (streamed.body, streamed.end_of_stream) == (b"x", True)
    trailers = translate.processing_response(Trailers(), "r1", "openai")
    assert list(trailers.response_trailers.header_mutation.remove_headers) == ["x-tidegate-coverage"]
    reply = translate.processing_response(Reply(Deny(502, Reason.RESPONSE_WITHHELD, "w")), "r1", "problem")
    assert reply.immediate_response.status.code == 502
    assert reply.immediate_response.details == "tidegate_response_withheld"
