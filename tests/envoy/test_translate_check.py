"""Check's messages in, Check's messages out: which field Envoy reads is measured, and held here."""

from __future__ import annotations

from typing import Any

import pytest
from envoy.config.core.v3 import base_pb2
from envoy.service.auth.v3 import external_auth_pb2
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from tidegate.envoy import translate_check as translate
from tidegate.envoy.handoff import FIELD, Handoff
from tidegate.model import BodyState, Deny, Request

from tests.envoy.verdicts import ADMITTED, HANDOFF, REFUSED

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


def allowed(**parts: Any) -> external_auth_pb2.CheckResponse:
    return translate.allow_response(ADMITTED._replace(**parts))


@pytest.mark.parametrize("raw", [True, False])
def test_headers_are_read_from_either_form(raw: bool) -> None:
    request = translate.request_of(check_call(raw), trusted_hops=0).request
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
    request = translate.request_of(call, trusted_hops=0).request
    assert isinstance(request, Request)
    assert request.scheme == scheme


def test_a_repeated_credential_in_the_raw_headers_is_refused() -> None:
    call = check_call()
    header = call.attributes.request.http.header_map.headers.add()
    header.key, header.raw_value = "authorization", b"Bearer other"
    refused = translate.request_of(call, trusted_hops=0).request
    assert isinstance(refused, Deny)
    assert refused.status == 400


def test_a_partial_body_is_known_as_partial() -> None:
    call = check_call(raw_body=b'{"model":')
    assert translate.request_of(call, trusted_hops=0).request.body_state is BodyState.WHOLE  # type: ignore[union-attr]
    header = call.attributes.request.http.header_map.headers.add()
    header.key, header.raw_value = "x-envoy-auth-partial-body", b"true"
    assert translate.request_of(call, trusted_hops=0).request.body_state is BodyState.PARTIAL  # type: ignore[union-attr]


@pytest.mark.parametrize("empty", [external_auth_pb2.CheckRequest(), check_call(method="")])
def test_a_call_without_http_attributes_is_a_deny(empty: external_auth_pb2.CheckRequest) -> None:
    assert isinstance(translate.request_of(empty, trusted_hops=0).request, Deny)


def test_a_header_that_is_not_utf8_is_a_deny() -> None:
    call = check_call()
    call.attributes.request.http.header_map.headers[0].raw_value = b"\xff\xfe"
    assert isinstance(translate.request_of(call, trusted_hops=0).request, Deny)


@given(st.binary(max_size=300))
def test_any_bytes_that_parse_as_a_check_give_a_request_or_a_deny(data: bytes) -> None:
    try:
        call = external_auth_pb2.CheckRequest.FromString(data)
    except DecodeError:  # gRPC answers that itself
        return
    assert isinstance(translate.request_of(call, trusted_hops=1).request, Deny | Request)


@pytest.mark.parametrize(("sent", "expected"), [(b"abc-1", "abc-1"), (b"a b", "r1"), (b"\xff", "r1"), (b"", "r1")])
def test_a_refused_request_keeps_the_id_that_the_client_sees(sent: bytes, expected: str) -> None:
    call = check_call()
    header = call.attributes.request.http.header_map.headers.add()
    header.key, header.raw_value = "x-request-id", sent
    header = call.attributes.request.http.header_map.headers.add()
    header.key, header.raw_value = "x-broken", b"\xff"
    asked = translate.request_of(call, trusted_hops=0)
    assert isinstance(asked.request, Deny)
    assert asked.id == expected


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


def test_an_allow_tells_and_removes_what_was_decided() -> None:
    ok = allowed(told=(("x-tidegate-identity", "ours"),), unwanted=("range", "x-tidegate-admin")).ok_response
    assert [h.header.value for h in ok.headers if h.header.key == "x-tidegate-identity"] == ["ours"]
    assert list(ok.headers_to_remove) == ["authorization", "range", "x-tidegate-admin"]


def test_a_denial_is_never_without_a_status() -> None:
    response = translate.deny_response(REFUSED)
    assert response.status.code != 0
    assert response.denied_response.status.code == 429
    names = {h.header.key for h in response.denied_response.headers}
    assert {"retry-after", "ratelimit", "content-type", "x-request-id"} <= names
    assert b"rate_limit_exceeded" in response.denied_response.body.encode()
