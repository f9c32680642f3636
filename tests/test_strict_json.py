from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tidegate.strict_json import BadJson, parse_object

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=10,
)


def depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


@settings(max_examples=200, deadline=None)
@given(value=st.dictionaries(st.text(max_size=6), VALUES, max_size=5), ascii_only=st.booleans())
def test_reads_every_object_up_to_its_depth_and_none_beyond(value: dict[str, Any], ascii_only: bool) -> None:
    raw = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8")
    assert parse_object(raw, max_depth=depth(value)) == value
    with pytest.raises(BadJson) as caught:
        parse_object(raw, max_depth=depth(value) - 1)
    assert caught.value.reason == "json_depth"


@settings(max_examples=300, deadline=None)
@given(raw=st.binary(max_size=60) | st.text(alphabet='{}[]":,\\u0dD8e1-+. ', max_size=60).map(str.encode))
def test_arbitrary_bytes_never_raise_anything_else(raw: bytes) -> None:
    with contextlib.suppress(BadJson):
        assert isinstance(parse_object(raw, max_depth=4), dict)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-8-sig"])
def test_only_utf_8(encoding: str) -> None:
    with pytest.raises(BadJson):
        parse_object('{"a": 1}'.encode(encoding), max_depth=4)


def test_brackets_in_strings_do_not_count() -> None:
    assert parse_object(rb'{"a": "[[[[[[\"[[[[{{{{\\", "b": "}"}', max_depth=1)


@pytest.mark.parametrize("piece", [b'"', b'\\"', b'"\\', b"[", b"{", b'["', b'\\"['])
def test_the_depth_scan_is_linear(piece: bytes) -> None:
    """A megabyte of the worst there is takes well under the time limit of a test; a quadratic scan would not."""
    with pytest.raises(BadJson):
        parse_object(b'{"' + piece * (1024 * 1024 // len(piece)), max_depth=8)
