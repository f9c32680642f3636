"""Asking for usage: the request means the same otherwise, byte for byte, and what is no such request is left alone."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tidegate.usage.parts import MAX_PARTS
from tidegate.usage.stream_options import MAX_MEMBERS, ask_for_usage, may_take_stream_options, takes_stream_options

ASK = '"include_usage":true'


def with_members(count: int) -> bytes:
    others = b",".join(b'"%d":1' % number for number in range(count))
    return b'{"stream":true,"messages":[],' + others + b"}"


@pytest.mark.parametrize(
    ("body", "asked"),
    [
        (
            '{"stream":true,"messages":[]}',
            '{"stream_options":{%s},"stream":true,"messages":[]}',
        ),
        (
            '{"stream":true,"prompt":"half a pair: \\ud83d","x":1e400}',
            '{"stream_options":{%s},"stream":true,"prompt":"half a pair: \\ud83d","x":1e400}',
        ),
        (
            ' \n{ "x": 1.0e2, "stream" : true, "prompt": "\\u00e9", "big": 12345678901234567890123 }',
            ' \n{"stream_options":{%s}, "x": 1.0e2, "stream" : true, "prompt": "\\u00e9", '
            '"big": 12345678901234567890123 }',
        ),
        (
            '{"stream":true,"prompt":"a","stream_options": null}',
            '{"stream":true,"prompt":"a","stream_options": {%s}}',
        ),
        (
            '{"stream":true,"prompt":"a","stream_options":{}}',
            '{"stream":true,"prompt":"a","stream_options":{%s}}',
        ),
        (
            '{"stream":true,"prompt":"a","stream_options":{ "include_obfuscation": false},"n":1}',
            '{"stream":true,"prompt":"a","stream_options":{%s, "include_obfuscation": false},"n":1}',
        ),
        (
            '{"stream_options":{"a":[{"include_usage":0}],"include_usage" : false },"stream":true,"prompt":"a"}',
            '{"stream_options":{"a":[{"include_usage":0}],"include_usage" : true },"stream":true,"prompt":"a"}',
        ),
        (
            '{"stream":true,"prompt":"a","stream_options":{"include_usage":null}}',
            '{"stream":true,"prompt":"a","stream_options":{%s}}',
        ),
        (
            '{"messages":[{"stream_options":{},"stream":false}],"stream":true}',
            '{"stream_options":{%s},"messages":[{"stream_options":{},"stream":false}],"stream":true}',
        ),
        (
            '{"stream":true,"prompt":"a","\\u0073tream_options":{}}',
            '{"stream":true,"prompt":"a","\\u0073tream_options":{%s}}',
        ),
    ],
)
def test_a_stream_is_made_to_tell_its_usage_and_nothing_else_changes(body: str, asked: str) -> None:
    found = ask_for_usage(body.encode())
    assert found is not None
    assert found.body.decode() == asked.replace("%s", ASK)
    assert not found.continuous


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"stream"',
        b"\xff",
        b'{"stream":false,"messages":[]}',
        b'{"messages":[]}',
        b'{"stream":1,"messages":[]}',
        b'{"stream":"true","messages":[]}',
        b'{"stream":true,"input":"a"}',
        b'{"stream":true,"messages":[],"stream_options":{"include_usage":true}}',
        b'{"stream":true,"messages":[],"stream_options":{"include_usage":1}}',
        b'{"stream":true,"messages":[],"stream_options":{"include_usage":"no"}}',
        b'{"stream":true,"messages":[],"stream_options":true}',
        b'{"stream":true,"messages":[],"stream_options":[]}',
        b'{"stream":false,"stream":true,"messages":[]}',
        b'{"stream":true,"messages":[],"stream_options":{},"stream_\\u006fptions":{}}',
        b'{"stream":true,"messages":[],"stream_options":{"a":1,"a":2}}',
        b'{"stream":true,"messages":[' + b"[]," * MAX_PARTS + b"[]]}",
        b'{"stream":true,"messages":[' + b'"a",' * MAX_PARTS + b'"a"]}',
        with_members(MAX_MEMBERS - 1),
        b'{"stream":true,"messages":[],"stream_options":' + with_members(MAX_MEMBERS) + b"}",
        b'{"stream":true,"messages":' + b"[" * 5000 + b"]" * 5000 + b"}",
    ],
)
def test_what_is_no_such_request_is_left_alone(body: bytes) -> None:
    assert ask_for_usage(body) is None


def test_continuous_usage_that_was_asked_for_alone_is_remembered() -> None:
    body = b'{"stream":true,"messages":[],"stream_options":{"continuous_usage_stats":true}}'
    found = ask_for_usage(body)
    assert found is not None
    assert found.continuous


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=12,
)
_OPTIONS = st.dictionaries(st.sampled_from(["a", "b", "include_obfuscation"]), _VALUES)


@settings(deadline=None)
@given(
    st.dictionaries(st.text(max_size=6), _VALUES, max_size=4),
    st.none() | _OPTIONS | _OPTIONS.map(lambda options: options | {"include_usage": False}),
    st.booleans(),
    st.sampled_from([None, 1]),
)
def test_any_request_means_the_same_with_usage_asked_for(
    more: dict[str, Any], options: Any, ascii_: bool, indent: int | None
) -> None:
    given_ = {**more, "messages": [], "stream": True} | ({} if options is None else {"stream_options": options})
    found = ask_for_usage(json.dumps(given_, ensure_ascii=ascii_, indent=indent).encode("utf-8", "surrogatepass"))
    assert found is not None
    expected = given_ | {"stream_options": (options or {}) | {"include_usage": True}}
    assert json.loads(found.body) == expected
    assert ask_for_usage(found.body) is None


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions?x=/y", "/a/b/completions/"])
def test_paths_that_take_stream_options(path: str) -> None:
    assert takes_stream_options(path)


@pytest.mark.parametrize(
    "path", ["/v1/messages", "/v1/responses", "/v1/embeddings", "/x?/completions", "/v1/mycompletions", ""]
)
def test_paths_that_do_not(path: str) -> None:
    assert not takes_stream_options(path)


@pytest.mark.parametrize(
    ("template", "may"),
    [
        ("/v1/chat/completions", True),
        ("/v1/{kind}", True),
        ("/**", True),
        ("/v1/embeddings", False),
        ("/completions/{id}/cancel", False),
        ("/", False),
    ],
)
def test_templates_that_may_match_one(template: str, may: bool) -> None:
    assert may_take_stream_options(template) is may
