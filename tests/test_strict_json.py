from __future__ import annotations

import contextlib
import json
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tidegate import strict_json
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


def unchangeable(value: Any) -> Any:
    if isinstance(value, dict):
        return MappingProxyType({name: unchangeable(part) for name, part in value.items()})
    return tuple(map(unchangeable, value)) if isinstance(value, list) else value


@settings(max_examples=200, deadline=None)
@given(value=st.dictionaries(st.text(max_size=6), VALUES, max_size=5), ascii_only=st.booleans())
def test_reads_every_object_up_to_its_depth_and_none_beyond(value: dict[str, Any], ascii_only: bool) -> None:
    raw = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8")
    assert parse_object(raw, max_depth=depth(value)) == {name: unchangeable(part) for name, part in value.items()}
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


@pytest.mark.parametrize("raw", [b'{"a":[{"b":{"c":[1]}}]}', b'{"a": [{"b": {"c": [1]}}]}'], ids=["compact", "spaced"])
def test_what_is_nested_cannot_be_changed_whichever_reader_saw_it(raw: bytes) -> None:
    nested = parse_object(raw, max_depth=5)["a"]
    assert type(nested) is tuple
    assert type(nested[0]) is type(nested[0]["b"]) is MappingProxyType
    assert nested[0]["b"]["c"] == (1,)


@pytest.mark.parametrize("levels", [9, 250, 254, 255, 256, 1023, 1025, 5000])
def test_a_depth_that_a_quick_reader_still_reads_is_refused(levels: int) -> None:
    for raw in (b'{"a":' * levels + b"1" + b"}" * levels, b'{"a":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"):
        with pytest.raises(BadJson) as caught:
            parse_object(raw, max_depth=8)
        assert caught.value.reason == "json_depth"


def test_brackets_in_strings_do_not_count() -> None:
    assert parse_object(rb'{"a": "[[[[[[\"[[[[{{{{\\", "b": "}"}', max_depth=1)


@pytest.mark.parametrize("piece", [b'"', b'\\"', b'"\\', b"[", b"{", b'["', b'\\"['])
def test_the_depth_scan_is_linear(piece: bytes) -> None:
    """A megabyte of the worst there is takes well under the time limit of a test; a quadratic scan would not."""
    with pytest.raises(BadJson):
        parse_object(b'{"' + piece * (1024 * 1024 // len(piece)), max_depth=8)


# Texts near JSON as it is written compactly: where a quick reader could see something else than the strict one.
NEAR = st.sampled_from(
    [
        '{"a":1}', '{"a":1,"a":1}', '{"a":1,"b":2}', '{"a":-0}', '{"a":-0.0}', '{"a":1.0}', '{"a":1e2}', '{"a":1E400}',
        '{"a":18446744073709551615}', '{"a":18446744073709551616}', '{"a":123456789012345678901234567890}',
        '{"a":0.1}', '{"a":1e-7}', '{"a":"\\u0061"}', '{"a":"\\ud800"}', '{"a":"é"}', '{"a":"\\/"}', '{"a":"\x7f"}',
        '{"a":{"b":1,"b":2}}', '{"a":[1,{"b":1,"b":1}]}', '{"":null}', '{"a":NaN}', '{"a":01}', '{"a":true,}', " {}",
        '{"a":"b\x00"}', '{"a":5e-324}', '{"a":1.7976931348623157e308}', '{"a":1700000300.25}', '{"a":"\u2028"}',
    ]
)  # fmt: skip


def strictly(raw: bytes) -> str:
    """What the strict reader alone makes of it: `repr`, which tells 1 from 1.0 and from true."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strict_json, "_plain", lambda raw: None)
        return read(raw)


def read(raw: bytes) -> str:
    try:
        return repr(parse_object(raw, max_depth=8))
    except BadJson as failure:
        return failure.reason


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_the_quick_reader_sees_nothing_that_the_strict_one_does_not(data: st.DataObject) -> None:
    raw = data.draw(NEAR | VALUES.map(lambda value: json.dumps({"x": value}, separators=(",", ":")))).encode()
    if data.draw(st.booleans()):
        place = data.draw(st.integers(0, len(raw)))
        raw = (
            raw[:place]
            + data.draw(st.sampled_from([b"", b"0", b'"', b",", b"-", b".", b"e", b"\\", b" "]))
            + raw[place:]
        )
    assert read(raw) == strictly(raw)
