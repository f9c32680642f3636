"""What a body holds, or one clear refusal: nothing that another parser could read differently is let through."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate.filtering.structure.demand import Shape
from tidegate.filtering.structure.schema import Schema
from tidegate.inbound.body import Content, content_of, structure_fault
from tidegate.inbound.checks import RequestChecks
from tidegate.model import BodyState, Deny, Request

CHECKS = RequestChecks(4096)


def request(body: bytes, content_type: str | None = "application/json", **changes: Any) -> Request:
    headers = {} if content_type is None else {"content-type": content_type}
    headers |= changes.pop("headers", {})
    state = BodyState.WHOLE if body else BodyState.ABSENT
    return Request("r", "POST", "h", "/p", headers=headers, **{"body": body, "body_state": state, **changes})


def refused(made: Content | Deny) -> tuple[int, str]:
    assert isinstance(made, Deny)
    assert made.rule == "request"
    return made.status, made.detail


def test_json_and_text_are_read() -> None:
    for kind in ("application/json", "application/json; charset=utf-8", "application/vnd.api+json", None):
        made = content_of(CHECKS, request(b'{"a": 1}', kind))
        assert isinstance(made, Content)
        assert (made.kind, made.document, made.size) == ("json", {"a": 1}, 8)
    made = content_of(CHECKS, request("héllo".encode(), "text/plain"))
    assert made == Content(text="héllo", kind="text", size=6)


def test_json_that_says_that_it_is_text_is_read_as_json() -> None:
    made = content_of(CHECKS, request(b' {"a": "\\u0062"}', "text/plain"))
    assert isinstance(made, Content)
    assert made.document == {"a": "b"}
    assert refused(content_of(CHECKS, request(b'{"a": 1, "a": 2}', "text/plain"))) == (400, "json_duplicate_key")
    prose = content_of(CHECKS, request(b"[1] is no JSON", "text/plain"))
    assert isinstance(prose, Content)
    assert prose.kind == "text"


@pytest.mark.parametrize(
    ("body", "status", "why"),
    [
        (b'{"a": 1, "a": 2}', 400, "json_duplicate_key"),
        (b'{"a": {"b": 1, "\\u0062": 2}}', 400, "json_duplicate_key"),
        (b'{"a": 1', 400, "json"),
        (b'{"a": 1} {}', 400, "json"),
        (b"{'a': 1}", 400, "json"),
        (b'{"a": NaN}', 400, "json_number"),
        (b'{"a": "\xff"}', 400, "utf-8"),
        (b'{"a": "\\ud800"}', 400, "json"),
        (b"[" * 101 + b"]" * 101, 400, "json_depth"),
        (b"\xef\xbb\xbf{}", 400, "json"),
        (b"x" * 5000, 413, "max_size"),
    ],
)
def test_what_another_reader_may_read_otherwise_is_refused(body: bytes, status: int, why: str) -> None:
    assert refused(content_of(CHECKS, request(body))) == (status, why)


def test_too_many_parts_are_not_read() -> None:
    body = b"[" + b"[]," * 200_001 + b"[]]"
    assert refused(content_of(RequestChecks(1 << 20), request(body))) == (413, "too many parts")


@pytest.mark.parametrize(
    ("kind", "passes"),
    [
        ("multipart/form-data; boundary=x", True),
        ("application/x-www-form-urlencoded", True),
        ("application/octet-stream", True),
        ("application/json; charset=utf-16", True),
        ("text/plain; charset=iso-8859-1", True),
        ("nonsense", True),
    ],
)
def test_other_types_are_what_the_policy_says(kind: str, passes: bool) -> None:
    assert refused(content_of(CHECKS, request(b"x", kind))) == (415, "content type")
    lenient = RequestChecks(4096, other_types="pass")
    assert content_of(lenient, request(b"x", kind)) == Content(unread="type")
    assert refused(content_of(lenient, request(b"x" * 5000, kind))) == (413, "max_size")


@pytest.mark.parametrize("kind", ["application/octet-stream", "image/png", "multipart/form-data; boundary=x", "x"])
def test_another_type_does_not_get_json_past_the_checks(kind: str) -> None:
    lenient = RequestChecks(4096, other_types="pass")
    made = content_of(lenient, request(b'{"prompt": "bob@example.com"}', kind))
    assert isinstance(made, Content)
    assert (made.kind, made.unread, made.document) == ("json", "", {"prompt": "bob@example.com"})
    assert refused(content_of(lenient, request(b'{"a": 1, "a": 2}', kind))) == (400, "json_duplicate_key")
    for other in (b'{"a": 1', b'["\xff"]', b"[1] is no JSON", b"--x\r\n{}"):
        assert content_of(lenient, request(other, kind)) == Content(unread="type")


@pytest.mark.parametrize("coding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("kind", ["text/plain", "text/csv", "application/x-ndjson", "application/json"])
def test_another_encoding_does_not_pass_for_utf_8(coding: str, kind: str) -> None:
    body = '{"prompt": "bob@example.com"}'.encode(coding)  # read by json.loads of Python, for one
    assert refused(content_of(CHECKS, request(body, kind))) in ((400, "utf-8"), (400, "json"))


def test_a_byte_order_mark_does_not_make_json_a_text() -> None:
    made = content_of(CHECKS, request(b'\xef\xbb\xbf{"a": "\\u0062"}', "text/plain"))
    assert isinstance(made, Content)
    assert made.document == {"a": "b"}
    body = b'\xef\xbb\xbf{"prompt": [1, 2]}'
    assert refused(content_of(CHECKS, request(body, "text/plain"))) == (400, "token ids")


@pytest.mark.parametrize("given", [[1, 2], [[1, 2], [3]], ["text", 7], ["text", [7]], [1.0, 2.0], [[1.0]], [True]])
@pytest.mark.parametrize("name", ["prompt", "input", "prompt_token_ids", "input_ids"])
def test_prompts_as_token_ids_cannot_be_checked(name: str, given: Any) -> None:
    body = json.dumps({"model": "m", name: given}).encode()
    assert refused(content_of(CHECKS, request(body))) == (400, "token ids")
    made = content_of(RequestChecks(4096, other_types="pass"), request(body))
    assert isinstance(made, Content)
    assert (made.kind, made.unread) == ("json", "token_ids")
    for sound in ({"prompt": "1 2"}, {"input": ["a"], "n": [1]}, {"input": [{"x": [1]}]}, {"dimensions": [1]}):
        assert isinstance(content_of(CHECKS, request(json.dumps(sound).encode())), Content)


PACKS = {"gzip": gzip.compress, "deflate": zlib.compress, "br": brotli.compress, "x-gzip": gzip.compress}


@pytest.mark.parametrize("coding", PACKS)
def test_compressed_bodies_are_refused_or_undone_under_the_cap(coding: str) -> None:
    checks = RequestChecks(4096, compressed="decode")
    packed = request(PACKS[coding](b'{"a": 1}'), headers={"content-encoding": coding})
    assert refused(content_of(CHECKS, packed)) == (415, "content coding")
    made = content_of(checks, packed)
    assert isinstance(made, Content)
    assert (made.document, made.size) == ({"a": 1}, 8)
    bomb = request(PACKS[coding](b" " * 200_000), headers={"content-encoding": coding})
    assert refused(content_of(checks, bomb)) == (413, "max_size")
    broken = request(PACKS[coding](b'{"a": 1}') + b"{}", headers={"content-encoding": coding})
    assert refused(content_of(checks, broken)) == (400, "content coding")


@pytest.mark.parametrize("coding", ["zstd", "gzip, gzip", "gzip,br", "compress"])
def test_other_codings_are_refused(coding: str) -> None:
    checks = RequestChecks(4096, compressed="decode")
    made = content_of(checks, request(b"x", headers={"content-encoding": coding}))
    assert refused(made) == (415, "content coding")


def test_a_partial_body_is_refused_whatever_the_policy_lets_pass() -> None:
    checks = RequestChecks(1 << 20, other_types="pass")
    assert refused(content_of(checks, request(b"{}", body_state=BodyState.PARTIAL))) == (413, "partial body")


@pytest.mark.parametrize(
    ("method", "headers", "want"),
    [
        ("GET", {}, ""),
        ("POST", {"content-length": "0"}, ""),
        ("POST", {}, "no body"),
        ("PUT", {}, "no body"),
        ("GET", {"content-length": "7"}, "body not shown"),
        ("POST", {"content-length": "7"}, "body not shown"),
        ("GET", {"transfer-encoding": "chunked"}, "no body"),
    ],
)
def test_a_body_that_was_not_shown_is_not_taken_for_none(method: str, headers: dict[str, str], want: str) -> None:
    asked = Request("r", method, "h", "/p", headers=headers)
    made = content_of(CHECKS, asked)
    if want:
        assert refused(made) == (400, want)
    else:
        assert made == Content(unread="no_body")


def test_the_schema_is_of_json_and_nothing_else_matches() -> None:
    schema = Shape(Schema({"type": "object", "required": ["model"]}))
    checks = RequestChecks(4096, schema)
    assert structure_fault(checks, Content(document={"model": "m"}, kind="json")) == ""
    assert structure_fault(checks, Content(document={}, kind="json")) == "schema/required"
    assert structure_fault(checks, Content(text="x", kind="text")) == "type"
    assert structure_fault(checks, Content(unread="no_body")) == "type"


@given(st.binary(max_size=40), st.sampled_from([None, "application/json", "text/plain", "text/csv", "a/b"]))
def test_nothing_raises(body: bytes, kind: str | None) -> None:
    assert isinstance(content_of(CHECKS, request(body, kind)), Content | Deny)


@given(st.recursive(st.none() | st.text(), lambda one: st.lists(one) | st.dictionaries(st.text(), one), max_leaves=8))
def test_what_is_sound_is_read_as_it_is(document: Any) -> None:
    try:
        raw = json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return
    made = content_of(RequestChecks(1 << 20), request(raw))
    assert isinstance(made, Content)
    assert made.document == document
