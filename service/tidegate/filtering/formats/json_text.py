"""JSON as text: strict validation, tokens with their places, and the two directions of a string's escapes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from json.encoder import encode_basestring
from typing import Any, Final, NamedTuple

import orjson

from tidegate.errors import MalformedBody
from tidegate.strict_json import depth_of

Path = tuple[str | int, ...]

BLANK: Final = " \t\r\n"
_INSIDE = r'[^"\\]*+(?:\\.[^"\\]*+)*+'
STRING: Final = f'"{_INSIDE}"'
NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?")
# A string by the letter, to prove that a document in which another one stood is still valid.
VALID: Final = re.compile(r'"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+"')
_NUMERAL = r"-?[0-9][0-9.eE+-]*+"
# For documents that were validated: what is in their strings, strings and keys, numbers in runs.
STRINGS: Final = re.compile(f'"({_INSIDE})"')
KEYS: Final = re.compile(rf"({STRING})([ \t\r\n]*+:[ \t\r\n]*+)?")
NUMBERS: Final = re.compile(rf"{_NUMERAL}(?:[ \t\r\n]*+,[ \t\r\n]*+{_NUMERAL})*+")
_WALK = re.compile(rf"({STRING})([ \t\r\n]*+:[ \t\r\n]*+)?|({_NUMERAL})|[\[\]{{}},]")
_BRACKETS = re.compile(rf"{STRING}|([\[{{])|[\]}}]")
_MEMBERS = re.compile(rf"({STRING})([ \t\r\n]*+:[ \t\r\n]*+)?|[\[{{,}}]")
_SURROGATE = re.compile("[\ud800-\udfff]")
MAX_STEPS: Final = 130
"""Steps of a path that are told: more than any pointer has, so that a leaf costs no more the deeper it stands."""
_MAX_DIGITS = 64
_MAX_DEPTH = 900  # the fast parser goes to 1,024
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def parse(text: str) -> Any:
    """The value of a JSON document; MalformedBody when it is none by RFC 8259.

    The fast parser refuses lone surrogates and numbers beyond a double, which are valid: the slow one then decides.
    How deep that one goes hangs on the version of Python, so it is bounded here.
    """
    try:
        return orjson.loads(text)
    except ValueError:
        pass
    if depth_of(text, _MAX_DEPTH) > _MAX_DEPTH:
        raise MalformedBody("a JSON document nested too deep")
    try:
        return json.loads(text, parse_int=_integer, parse_float=str, parse_constant=_refuse)
    except (ValueError, RecursionError) as fault:
        raise MalformedBody("not a JSON document") from fault


def _integer(literal: str) -> int | str:
    return int(literal) if len(literal) <= _MAX_DIGITS else literal


def _refuse(literal: str) -> Any:
    raise ValueError(literal)


def unquote(token: str) -> str:
    """The text of a string token. Lone surrogates stay what they are."""
    return token[1:-1] if "\\" not in token else json.loads(token)


def quote(text: str) -> str:
    """The shortest string token for `text`, in well-formed Unicode."""
    return _printable(encode_basestring(text))


def dump(value: Any) -> str:
    """The shortest document for `value`, in well-formed Unicode."""
    return _printable(_ENCODER.encode(value))


def _printable(token: str) -> str:
    if token.isascii():
        return token
    return _SURROGATE.sub(lambda lone: f"\\u{ord(lone[0]):04x}", token)


def close_of(text: str, start: int) -> int:
    """Where the array or object that opens at `start` of a valid document is over."""
    depth = 0
    for mark in _BRACKETS.finditer(text, start):
        if mark[1]:
            depth += 1
        elif mark[0] in "]}":
            depth -= 1
            if depth == 0:
                return mark.end()
    raise MalformedBody("a bracket is not closed")


class Member(NamedTuple):
    """One member of an object: where its key begins, where its value begins, and where that ends."""

    start: int
    value: int
    end: int


def members(text: str, start: int) -> dict[str, Member]:
    """The members of the object that opens at `start` of a valid document; what stands inside them is passed over.

    MalformedBody when a key stands twice in it: of two, readers take different ones.
    """
    found: dict[str, Member] = {}
    name, key, value, at = "", 0, 0, start + 1
    while mark := _MEMBERS.search(text, at):
        token, colon = mark.groups()
        at = mark.end()
        if colon is not None:
            name, key, value = unquote(token), mark.start(), at
            if name in found:
                raise MalformedBody("a key stands twice in one object")
        elif mark[0] in ("[", "{"):
            at = close_of(text, mark.start())
        elif token is None:
            if value:
                found[name] = Member(key, value, value + len(text[value : mark.start()].rstrip(BLANK)))
            if mark[0] == "}":
                return found
    raise MalformedBody("an object is not closed")


def without(text: str, member: Member) -> str:
    """`text` without one of its members, and without the comma that parted it from another."""
    before = text[: member.start].rstrip(BLANK)
    if before.endswith(","):
        return before[:-1] + text[member.end :]
    return text[: member.start] + text[member.end :].lstrip(BLANK).removeprefix(",")


@dataclass(frozen=True, slots=True)
class Leaf:
    """A key, string or number of a document: where its token stands, and whose value it is."""

    kind: str  # "key" | "string" | "number"
    start: int
    end: int
    next: int  # for a key, where its value begins
    path: Path  # at most `MAX_STEPS` of it


def walk(text: str) -> Iterator[Leaf]:
    """The leaves of a valid document in order. MalformedBody when an object names a key twice.

    Of two equal keys parsers keep one, so that what was put together from both would never be what a client sees.
    """
    path: list[str | int] = []
    names: list[set[str] | None] = []
    for mark in _WALK.finditer(text):
        token, colon, number = mark.groups()
        if colon is not None:
            name = unquote(token)
            known = names[-1]
            if known is None or name in known:
                raise MalformedBody("a key stands twice in one object")
            known.add(name)
            path[-1] = name
            yield Leaf("key", mark.start(1), mark.end(1), mark.end(), tuple(path[:MAX_STEPS]))
        elif token is not None:
            yield Leaf("string", mark.start(), mark.end(), mark.end(), tuple(path[:MAX_STEPS]))
        elif number is not None:
            yield Leaf("number", mark.start(), mark.end(), mark.end(), tuple(path[:MAX_STEPS]))
        else:
            match mark[0]:
                case "{":
                    names.append(set())
                    path.append("")
                case "[":
                    names.append(None)
                    path.append(0)
                case ",":
                    step = path[-1]
                    if isinstance(step, int):
                        path[-1] = step + 1
                case _:
                    names.pop()
                    path.pop()
