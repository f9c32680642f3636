"""Envoy's messages in, Envoy's messages out: which field Envoy reads is measured, and held here."""

from __future__ import annotations

from typing import Any

import pytest
from envoy.config.core.v3 import base_pb2
from envoy.extensions.filters.http.ext_proc.v3.processing_mode_pb2 import ProcessingMode
from envoy.service.auth.v3 import external_auth_pb2
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from tidegate.envoy import translate
from tidegate.envoy.commands import Body, Continue, Forward, Reply, RequestBody, RequestHead, Trailers
from tidegate.envoy.handoff import FIELD, NAMESPACE, Handoff
from tidegate.errors import ProtocolViolation
from tidegate.model import Admission, Allow, BodyState, Decision, Deny, Identity, Limit, LimitState, Reason, Request

ADA = Identity("ada", "acme", "free", "api_key")
HANDOFF = Handoff("r1", "v1", "ada", "acme", "free", "chat", "small", ("pii",), "openai", "withhold", 65536)
LIMITED = Admission((LimitState(Limit("tier:free", "rpm", "token_bucket", 20, 60.0, 20), 19, 3.0),))


OVERWRITE = base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD


def check_call(raw: bool = True, **fields: Any) -> external_auth_pb2.CheckRequest:
    call = external_auth_pb2.CheckRequest()
    http = call.attributes.request.http
    http.id, http.method, http.path, http.host = "r1", "POST", "/v1/chat?x=1", "models.example.com"
    for name, value in {"authorization": "Bearer tg_x_y", "accept": "*/*"}.items():
        if raw:
            header = http.header_map.headers.add()
            header.key, header.raw_value = name, value.encode()
        else:
            http.headers[name] = value
    for name, value in fields.items():
        setattr(http, name, value)
    call.attributes.source.address.socket_address.address = "192.0.2.1"
    call.attributes.source.principal = "spiffe://example.com/app"
    return call


def allowed(headers: dict[str, str] | None = None, token: str = "") -> external_auth_pb2.CheckResponse:
    verdict = Allow(ADA, "chat", "small", ("pii",), LIMITED)
    decision = Decision(Request("r1", "GET", "h", "/", headers=headers or {}), verdict, "v1", ADA, "chat")
    return translate.allow_response(decision, verdict, HANDOFF, ("authorization",), token)


@pytest.mark.parametrize("raw", [True, False])
def test_headers_are_read_from_either_form(raw: bool) -> None:
    _, request = translate.request_of(check_call(raw), trusted_hops=0)
    assert isinstance(request, Request)
    assert request.headers["authorization"] == "Bearer tg_x_y"
    assert (request.path, request.query, request.peer) == ("/v1/chat", "x=1", "spiffe://example.com/app")
    assert request.client_ip == "192.0.2.1"


@pytest.mark.parametrize(
    ("forwarded", "stated", "scheme"),
    [
        ("https", "http", "https"),
        ("http", "https", "http"),
        ("", "https", "https"),
        ("", "", ""),
        ("HTTPS", "", "https"),
    ],
)
def test_the_scheme_is_what_envoy_says_of_the_connection(forwarded: str, stated: str, scheme: str) -> None:
    call = check_call(scheme=stated)
    if forwarded:
        header = call.attributes.request.http.header_map.headers.add()
        header.key, header.raw_value = "x-forwarded-proto", forwarded.encode()
    _, request = translate.request_of(call, trusted_hops=0)
    assert isinstance(request, Request)
    assert request.scheme == scheme


def test_a_repeated_credential_in_the_raw_headers_is_refused() -> None:
    call = check_call()
    header = call.attributes.request.http.header_map.headers.add()
    header.key, header.raw_value = "authorization", b"Bearer other"
    _, refused = translate.request_of(call, trusted_hops=0)
    assert isinstance(refused, Deny)
    assert refused.status == 400


def test_a_partial_body_is_known_as_partial() -> None:
    call = check_call(raw_body=b'{"model":')
    assert translate.request_of(call, trusted_hops=0)[1].body_state is BodyState.WHOLE  # type: ignore[union-attr]
    header = call.attributes.request.http.header_map.headers.add()
    header.key, header.raw_value = "x-envoy-auth-partial-body", b"true"
    assert translate.request_of(call, trusted_hops=0)[1].body_state is BodyState.PARTIAL  # type: ignore[union-attr]


@pytest.mark.parametrize("empty", [external_auth_pb2.CheckRequest(), check_call(method="")])
def test_a_call_without_http_attributes_is_a_deny(empty: external_auth_pb2.CheckRequest) -> None:
    assert isinstance(translate.request_of(empty, trusted_hops=0)[1], Deny)


def test_a_header_that_is_not_utf8_is_a_deny() -> None:
    call = check_call()
    call.attributes.request.http.header_map.headers[0].raw_value = b"\xff\xfe"
    assert isinstance(translate.request_of(call, trusted_hops=0)[1], Deny)


@given(st.binary(max_size=300))
def test_any_bytes_that_parse_as_a_check_give_a_request_or_a_deny(data: bytes) -> None:
    try:
        call = external_auth_pb2.CheckRequest.FromString(data)
    except DecodeError:  # gRPC answers that itself
        return
    assert isinstance(translate.request_of(call, trusted_hops=1)[1], Deny | Request)


@pytest.mark.parametrize(("sent", "expected"), [(b"abc-1", "abc-1"), (b"a b", "r1"), (b"\xff", "r1"), (b"", "r1")])
def test_a_refused_request_keeps_the_id_that_the_client_sees(sent: bytes, expected: str) -> None:
    call = check_call()
    header = call.attributes.request.http.header_map.headers.add()
    header.key, header.raw_value = "x-request-id", sent
    assert translate.request_id_of(call) == expected


def test_an_allow_says_so_explicitly_and_sets_ext_authz_headers_by_value() -> None:
    response = allowed()
    assert response.WhichOneof("http_response") == "ok_response"
    ours = {h.header.key: h.header.value for h in response.ok_response.headers}
    assert ours["x-tidegate-subject"] == "ada"
    assert all(not h.header.raw_value for h in response.ok_response.headers)
    shown = {h.header.key: h.header.value for h in response.ok_response.response_headers_to_add}
    assert shown["x-ratelimit-remaining-requests"] == "19"
    assert all(h.append_action == OVERWRITE for h in response.ok_response.response_headers_to_add)
    assert Handoff.decode(response.dynamic_metadata.fields[FIELD].string_value) == HANDOFF


def test_an_allow_removes_the_credential_ranges_and_every_identity_header_that_it_does_not_set() -> None:
    spoofed = {"x-tidegate-admin": "1", "x_tidegate_subject": "root", "x-tidegate-subject": "root", "accept": "*/*"}
    spoofed |= {"range": "bytes=0-9", "if-range": "x"}
    removed = list(allowed(spoofed).ok_response.headers_to_remove)
    assert {"authorization", "range", "if-range", "x-tidegate-admin", "x_tidegate_subject"} <= set(removed)
    assert "x-tidegate-subject" not in removed
    assert "accept" not in removed


def test_a_context_token_takes_the_place_of_what_the_client_sent_and_without_one_nothing_does() -> None:
    spoofed = {"x-tidegate-identity": "forged", "x_tidegate_identity": "forged"}
    ok = allowed(spoofed, token="ours").ok_response
    assert [h.header.value for h in ok.headers if h.header.key == "x-tidegate-identity"] == ["ours"]
    assert "x-tidegate-identity" not in ok.headers_to_remove  # Envoy removes after it sets
    assert "x_tidegate_identity" in ok.headers_to_remove
    without = allowed(spoofed).ok_response
    assert {"x-tidegate-identity", "x_tidegate_identity"} <= set(without.headers_to_remove)
    assert "x-tidegate-identity" not in {h.header.key for h in without.headers}


def test_a_denial_is_never_without_a_status() -> None:
    deny = Deny(429, Reason.LIMIT_EXCEEDED, "Limit 'rpm' is exhausted.", (("retry-after", "3"),))
    decision = Decision(Request("r1", "GET", "h", "/v1/x"), deny, "v1", ADA, "chat", "", LIMITED, "openai")
    response = translate.deny_response(decision, deny)
    assert response.status.code != 0
    assert response.denied_response.status.code == 429
    names = {h.header.key for h in response.denied_response.headers}
    assert {"retry-after", "ratelimit", "content-type", "x-request-id"} <= names
    assert b"rate_limit_exceeded" in response.denied_response.body.encode()


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
