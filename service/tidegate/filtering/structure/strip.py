"""Fields that a schema forbids, taken out of a document; everything else keeps its bytes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from tidegate.filtering.formats.json_text import STRING, Member, Path, close_of, walk, without
from tidegate.filtering.structure.schema import Schema, parse

MAX_PARTS: Final = 20_000
"""Members and items of a document whose fields are stripped; one of more is not looked through, and does not match."""

_ROUNDS: Final = 8
_STRING: Final = re.compile(STRING)
_SCALAR: Final = re.compile(r"[^,\]}\s]+")


def stripped(schema: Schema, text: str) -> tuple[str, int]:
    """A valid document without the fields that its schema forbids, and how many they were.

    What comes back may still not match: for another reason, or because it has more than `MAX_PARTS`.
    """
    removed = 0
    for _ in range(_ROUNDS):
        if text.count(",") + text.count("{") + text.count("[") > MAX_PARTS:
            break
        value = parse(text)
        extras = schema.extras(value)
        if not extras:
            break
        text = without_members(text, extras)
        removed += len(extras)
    return text, removed


def stripped_within(schema: Schema, text: str, place: Path) -> tuple[str, int]:
    """The same for the object at a place of a document, which is held to the schema by itself."""
    removed = 0
    for _ in range(_ROUNDS):
        if text.count(",") + text.count("{") + text.count("[") > MAX_PARTS:
            break
        extras = schema.extras(at(parse(text), place))
        if not extras:
            break
        text = without_members(text, [(*place, *extra) for extra in extras])
        removed += len(extras)
    return text, removed


def without_members(text: str, places: Sequence[Path]) -> str:
    """A valid document without the members at these places."""
    wanted = set(places)
    found: list[Member] = []
    end = 0
    for leaf in walk(text):
        if leaf.kind == "key" and leaf.path in wanted and leaf.start >= end:
            end = _end_of(text, leaf.next)
            found.append(Member(leaf.start, leaf.next, end))
    for member in reversed(found):
        text = without(text, member)
    return text


def replaced(text: str, strings: Iterable[tuple[Path, str]]) -> str:
    """A valid document with other string tokens at these places."""
    new = dict(strings)
    parts: list[str] = []
    at_ = 0
    for leaf in walk(text):
        if leaf.kind == "string" and leaf.path in new:
            parts += (text[at_ : leaf.start], new[leaf.path])
            at_ = leaf.end
    return "".join([*parts, text[at_:]])


def at(document: Any, path: Path) -> Any:
    """What stands at a place of a parsed document."""
    for step in path:
        document = document[step]
    return document


def _end_of(text: str, start: int) -> int:
    if text[start] in "{[":
        return close_of(text, start)
    mark = (_STRING if text[start] == '"' else _SCALAR).match(text, start)
    return mark.end() if mark else start
