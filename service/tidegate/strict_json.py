"""JSON from strangers: UTF-8 only, no duplicate keys, no NaN, no infinities, no lone surrogates, bounded depth.

RFC 8259 leaves duplicate names and huge numbers to the reader; two readers that differ are an attack, so one strict
reader stands here for tokens (RFC 7519 section 4 asks for unique claim names), for key sets, and for documents that are
held to a schema: what is judged must be what its reader will read.
"""

from __future__ import annotations

import json
import math
import re
from types import MappingProxyType
from typing import Any, Final, NoReturn

import orjson

# A string (an unterminated one runs to the end, which keeps the scan linear), or one bracket.
_STRUCTURE = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[\[{\]}]', re.DOTALL)


class BadJson(ValueError):
    """The bytes are not acceptable JSON; `reason` is one word for our own records."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def parse_object(raw: bytes, max_depth: int) -> dict[str, Any]:
    """The JSON object in `raw`, nested at most `max_depth` levels (the object itself is level 1).

    What is nested in it cannot be changed: tuples, and read-only mappings. Raises BadJson for everything else, whatever
    the bytes are.
    """
    value = _plain(raw)
    if value is None:
        value = parse_value(raw, max_depth=max_depth)
    if type(value) is not dict:
        raise BadJson("json_not_object")
    _settle(value, max_depth)
    return value


def parse_value(raw: bytes, *, max_depth: int) -> Any:
    """The JSON value in `raw`, whose brackets nest at most `max_depth` levels. Raises BadJson, whatever the bytes."""
    if raw.count(b"[") + raw.count(b"{") <= max_depth and (plain := _plain(raw)) is not None:
        return plain
    try:
        text = raw.decode("utf-8")
        if depth_of(text, max_depth) > max_depth:
            raise BadJson("json_depth")
        value = _DECODER.decode(text)
        if "\\u" in text:  # only an escape can make a lone surrogate; encoding it fails
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except BadJson:
        raise
    except (ValueError, RecursionError):
        raise BadJson("json") from None
    return value


def _plain(raw: bytes) -> Any:
    """What a quick reader makes of JSON that it would write byte for byte the same; else None.

    So there is one reading of it: a name that came twice, a number too large or an escape would be written otherwise.
    """
    try:
        value = orjson.loads(raw)
        return value if orjson.dumps(value) == raw else None
    except (ValueError, TypeError):  # the latter for what is nested hundreds deep
        return None


def _settle(value: Any, depth: int) -> None:
    """Make unchangeable what is nested in an object or a list."""
    if depth == 0:
        raise BadJson("json_depth")
    for place, part in value.items() if type(value) is dict else enumerate(value):
        kind = type(part)
        if kind is list:
            _settle(part, depth - 1)
            value[place] = tuple(part)
        elif kind is dict:
            _settle(part, depth - 1)
            value[place] = MappingProxyType(part)


def depth_of(text: str, enough: int) -> int:
    """How deep brackets nest outside strings. Texts with no more than `enough` of them are not scanned."""
    brackets = text.count("[") + text.count("{")
    if brackets <= enough:
        return brackets
    deepest = depth = 0
    for match in _STRUCTURE.finditer(text):
        char = text[match.start()]
        if char in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif char != '"':
            depth -= 1
    return deepest


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise BadJson("json_duplicate_key")
    return made


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise BadJson("json_number")
    return number


def _no_constant(_: str) -> NoReturn:
    raise BadJson("json_number")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_float=_finite, parse_constant=_no_constant)
