"""The one door: what has two readings is refused, what is plain comes out canonical, and nothing raises."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate import edge
from tidegate.edge import canonical, canonical_path
from tidegate.model import Deny, Reason, Request


def door(**changes: Any) -> Request | Deny:
    parts: dict[str, Any] = {
        "request_id": "r1",
        "method": "POST",
        "target": "/v1/chat/completions?stream=1",
        "authority": "Models.Example.com:8443",
        "headers": [("Content-Type", "application/json")],
        "client_ip": "192.0.2.7",
    }
    return canonical(**(parts | changes))


def test_a_plain_request_comes_out_canonical() -> None:
    request = door()
    assert isinstance(request, Request)
    assert (request.host, request.path, request.query) == ("models.example.com", "/v1/chat/completions", "stream=1")
    assert (request.scheme, request.port) == ("", 8443)
    assert request.headers == {"content-type": "application/json"}


@pytest.mark.parametrize(
    "path",
    [
        "", "v1/x", "*", "/a//b", "//a", "/a/../b", "/a/./b", "/..", "/a/.", "/a/%2e%2e/b", "/a%2fb", "/a%2Fb",
        "/a%5cb", "/a\\b", "/a;x=1", "/a%3bx", "/a%00", "/a%0a", "/a%252fb", "/a%25", "/a%", "/a%zz", "/a%ff",
        "/a#b", "/a%3f", "/a%23", "/\u00e9", "http://models.example.com/v1/x", "/a%2e/../b", "/%2e%2e",
    ],
)  # fmt: skip
def test_a_path_with_two_readings_is_refused(path: str) -> None:
    assert canonical_path(path) is None
    refused = door(target=path)
    assert isinstance(refused, Deny)
    assert (refused.status, refused.reason) == (400, Reason.REQUEST_MALFORMED)


@pytest.mark.parametrize(
    ("raw", "path"), [("/", "/"), ("/a/b/", "/a/b/"), ("/caf%C3%A9", "/café"), ("/a%20b", "/a b"), ("/a..b", "/a..b")]
)
def test_a_path_is_decoded_once(raw: str, path: str) -> None:
    assert canonical_path(raw) == path


@pytest.mark.parametrize(
    "name",
    ["authorization", "Authorization", "x-api-key", "host", "content-length", "x-tidegate-tenant", "x_tidegate_x"],
)
def test_a_repeated_credential_framing_or_identity_header_is_refused(name: str) -> None:
    refused = door(headers=[(name, "a"), (name.upper(), "b")])
    assert isinstance(refused, Deny)
    assert refused.status == 400


def test_other_repeated_headers_are_joined_as_http_says() -> None:
    request = door(headers=[("accept", "a"), ("Accept", "b")])
    assert isinstance(request, Request)
    assert request.headers["accept"] == "a, b"


@pytest.mark.parametrize("host", ["", "a b", "a/b", "exa\u0130mple.com", "-a", "a@b", "[::1", "a:b:c", "a.", "a.:80"])
def test_a_malformed_host_is_refused(host: str) -> None:
    assert isinstance(door(authority=host), Deny)


@pytest.mark.parametrize("method", ["", "get", "GE T", "GET\r\n", "G" * 33])
def test_a_malformed_method_is_refused(method: str) -> None:
    assert isinstance(door(method=method), Deny)


@pytest.mark.parametrize("header", [("a b", "x"), ("", "x"), ("a", "x\r\ny"), ("a", "x\x00")])
def test_a_malformed_header_is_refused(header: tuple[str, str]) -> None:
    assert isinstance(door(headers=[header]), Deny)


@pytest.mark.parametrize(
    ("hops", "forwarded", "expected"),
    [
        (0, "198.51.100.1, 203.0.113.9", "192.0.2.7"),
        (1, "198.51.100.1, 203.0.113.9", "198.51.100.1"),
        (1, "spoofed, 198.51.100.1, 203.0.113.9", "198.51.100.1"),
        (2, "203.0.113.9", "192.0.2.7"),
        (1, "not-an-ip, 203.0.113.9", "192.0.2.7"),
    ],
)
def test_the_client_address_is_trusted_only_for_the_configured_hops(hops: int, forwarded: str, expected: str) -> None:
    request = door(headers=[("x-forwarded-for", forwarded)], trusted_hops=hops)
    assert isinstance(request, Request)
    assert request.client_ip == expected


@pytest.mark.parametrize("name", ["x-http-method-override", "x_http_method", "x-original-url", "x-rewrite_url"])
def test_a_header_that_names_another_method_or_path_does_not_go_on(name: str) -> None:
    assert edge.is_unwanted(name)
    assert not edge.is_unwanted("x-original")


@given(st.text(), st.text(), st.text(), st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8)), max_size=5))
def test_no_input_raises(method: str, target: str, host: str, headers: list[tuple[str, str]]) -> None:
    answer = door(method=method, target=target, authority=host, headers=headers)
    assert isinstance(answer, Deny | Request)


@given(st.text(alphabet="/.%2eEfF5c;\\ab", max_size=24))
def test_a_canonical_path_has_no_segment_that_walks(raw: str) -> None:
    path = canonical_path(raw)
    if path is not None:
        assert path.startswith("/")
        assert not {".", ".."} & set(path.split("/"))
        assert "//" not in path
        assert "\\" not in path


def test_what_strangers_send_does_not_pile_up_in_caches() -> None:
    """60 KiB are a header's name to Envoy; thousands of them, remembered, were hundreds of MiB."""
    before = edge._field_name.cache_info().currsize, edge._address.cache_info().currsize
    for index in range(20):
        assert isinstance(door(headers=[(f"x-{index}-" + "n" * 60_000, "v")]), Deny)
        assert isinstance(door(authority=f"h{index}-" + "h" * 60_000), Deny)
    assert (edge._field_name.cache_info().currsize, edge._address.cache_info().currsize) == before
