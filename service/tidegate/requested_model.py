"""The name of the model in a request: from the JSON body, a header, or the path.

The name decides what a caller may use, so it must be the name that the model server will read. A body that two parsers
could read differently is refused: a key given twice, or in another case (some servers compare keys without it), also
when it is spelt with escapes; a content type other than JSON; a content encoding. So is a header that was sent twice.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import orjson

from tidegate.model import BodyState, Deny, Reason, Request
from tidegate.policy.compiled import ModelRule
from tidegate.strict_json import depth_of
from tidegate.usage.parts import has_too_many_parts

MAX_NAME = 256
_MAX_DEPTH = 900

# Escapes that can spell a key: ASCII, and the four letters that some reader's case folding takes to ASCII.
_TELLING_ESCAPE = re.compile(rb"\\u(?:00[0-7]|013[01]|017[fF]|212[aA])")
_FOLDS_TO = {"i": ("\u0131", "\u0130"), "k": ("\u212a",), "s": ("\u017f",)}
_FOLD = str.maketrans({twin: letter for letter, twins in _FOLDS_TO.items() for twin in twins})
_JSON_TYPE = re.compile(
    r"application/(?:[a-z0-9.+-]{1,100}\+)?json(?:\s*;\s*charset\s*=\s*\"?utf-?8\"?)?", re.IGNORECASE
)


def requested_model(rule: ModelRule, request: Request, variables: Mapping[str, str]) -> str | Deny:
    """The model that the request names where `rule` says, or why there is none."""
    if rule.source == "body":
        value = _from_body(request, rule.locator)
        if isinstance(value, Deny):
            return value
    elif rule.source == "header":
        value = request.headers.get(rule.locator[0], "")
        if "," in value:  # sent twice and joined: whoever routes by it may read the first or the last
            return _malformed(f"The header {rule.locator[0]} must name one model.")
    else:
        value = variables.get(rule.locator[0], "")
    if value is None or value == "":
        return Deny(400, Reason.MODEL_MISSING, "The request does not name a model.")
    if not isinstance(value, str) or len(value) > MAX_NAME or not value.isprintable():
        return _malformed(f"The model's name must be a string of at most {MAX_NAME} printable characters.")
    return value


def _from_body(request: Request, keys: tuple[str, ...]) -> Any:
    """The value at the path of keys in a JSON body; None when there is none."""
    if request.body_state is BodyState.PARTIAL:
        return Deny(413, Reason.REQUEST_MALFORMED, "The request body is too large to read the model's name from it.")
    if request.body_state is BodyState.ABSENT or not request.body:
        return Deny(400, Reason.MODEL_MISSING, "The request has no body that names a model.")
    kind = request.headers.get("content-type", "")
    if kind not in ("", "application/json") and _JSON_TYPE.fullmatch(kind.strip()) is None:
        return Deny(415, Reason.REQUEST_MALFORMED, "The request body must be application/json in UTF-8.")
    encoding = request.headers.get("content-encoding", "")
    if encoding and encoding.strip().lower() != "identity":
        return Deny(415, Reason.REQUEST_MALFORMED, "The request body must not be compressed.")
    if has_too_many_parts(request.body):
        return Deny(413, Reason.REQUEST_MALFORMED, "The request body holds too many objects, lists and strings.")
    try:
        value = orjson.loads(request.body)
    except orjson.JSONDecodeError:
        return _malformed("The request body is not valid JSON.")
    if not isinstance(value, dict):
        return _malformed("The request body must be a JSON object.")
    if _may_repeat(request.body, keys) and not _is_unambiguous(request.body, keys):
        return _malformed(f"The request body must hold the key {'.'.join(keys)!r} once, spelt exactly so.")
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _malformed(message: str) -> Deny:
    return Deny(400, Reason.REQUEST_MALFORMED, message)


def _may_repeat(body: bytes, keys: tuple[str, ...]) -> bool:
    """A quick look at the bytes of valid JSON: could any key of the path be there twice, in whatever spelling?"""
    if b"\\u" in body and _TELLING_ESCAPE.search(body) is not None:
        return True
    lower = body.lower()
    for exact, folded, twins in _needles(keys):
        times = lower.count(folded)
        if times > 1 or (times == 1 and exact not in body):
            return True
        if twins and any(twin in body for twin in twins):
            return True
    return False


@lru_cache(maxsize=4096)
def _needles(keys: tuple[str, ...]) -> tuple[tuple[bytes, bytes, tuple[bytes, ...]], ...]:
    """For each key, how it stands in JSON text, how it does in lower case, and letters that fold to one of its own."""
    return tuple(
        (
            f'"{key}"'.encode(),
            f'"{key.lower()}"'.encode(),
            tuple(twin.encode() for letter, twins in _FOLDS_TO.items() if letter in key.lower() for twin in twins),
        )
        for key in keys
    )


def _is_unambiguous(body: bytes, keys: tuple[str, ...]) -> bool:
    """The thorough look: on the way down the path, each key is there once at most, and no other folds to it."""
    try:
        text = body.decode()
        if depth_of(text, _MAX_DEPTH) > _MAX_DEPTH:  # how deep Python itself goes hangs on its version
            return False
        value = json.loads(text, object_pairs_hook=_Pairs, parse_int=len, parse_float=len, parse_constant=len)
    except (ValueError, RecursionError):
        return False
    for key in keys:
        if not isinstance(value, _Pairs):
            return True
        same = [(name, child) for name, child in value if _fold(name) == _fold(key)]
        if not same:
            return True
        if len(same) > 1 or same[0][0] != key:
            return False
        value = same[0][1]
    return True


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as it was written, repeated keys included."""


def _fold(key: str) -> str:
    """The key as the most careless reader compares it: case-blind, and ended by NUL."""
    return key.partition("\0")[0].translate(_FOLD).lower()
