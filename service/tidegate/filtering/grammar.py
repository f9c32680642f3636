"""Patterns as values, so that how long to wait for more text is derived from a pattern and never written by hand.

A detector's pattern is written in the syntax that RE2 and `re` share: literals, escapes, classes, groups, alternation
and the quantifiers `? * + {m,n}`. No anchors, look-around, lazy quantifiers or back-references. From the parsed form
come the *proper prefixes* (every text that more text could still turn into a match, or into a longer one), the longest
possible match, and the bytes a match can begin with.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import reduce

_QUANTIFIER = re.compile(r"[?*+]|\{(\d+)(,?)(\d*)\}")
_ATOM = re.compile(r"\[\^?\]?(?:\\.|\[:\w+:\]|[^\]\\])*\]|\\x[0-9a-f]{2}|\\.|[^\\()|?*+{}\[\]^$]", re.DOTALL)
_COUNTED = 3
_GROUP = re.compile(r"\((?:\?(i?):)?")


@dataclass(frozen=True, slots=True)
class Atom:
    """One character: a literal, an escape or a class, as written."""

    source: str


@dataclass(frozen=True, slots=True)
class Sequence:
    """One part after another; without parts it is the empty text."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several."""

    options: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """A part at least `low` and at most `high` times; None is without end."""

    part: Node
    low: int
    high: int | None


Node = Atom | Sequence | Choice | Repeat


def parse(source: str) -> Node:
    """Read a pattern. Raises ValueError on syntax outside the shared subset."""
    node, end = _choice(source, 0, fold=False)
    if end != len(source):
        raise ValueError(f"unbalanced group at {end} in {source!r}")
    return node


def _choice(source: str, at: int, *, fold: bool) -> tuple[Node, int]:
    options: list[Node] = []
    parts: list[Node] = []
    while at < len(source) and source[at] != ")":
        if source[at] == "|":
            options.append(Sequence(tuple(parts)))
            parts, at = [], at + 1
            continue
        part: Node
        if group := _GROUP.match(source, at):
            part, at = _choice(source, group.end(), fold=fold or group[1] == "i")
            at += 1  # the closing parenthesis; a missing one is found by the caller's length check
        elif atom := _ATOM.match(source, at):
            part, at = Atom(f"(?i:{atom[0]})" if fold and atom[0][0] != "\\" else atom[0]), atom.end()
        else:
            raise ValueError(f"cannot read {source[at:]!r}")
        if quantifier := _QUANTIFIER.match(source, at):
            part, at = Repeat(part, *_bounds(quantifier)), quantifier.end()
        parts.append(part)
    options.append(Sequence(tuple(parts)))
    return options[0] if len(options) == 1 else Choice(tuple(options)), at


def _bounds(quantifier: re.Match[str]) -> tuple[int, int | None]:
    match quantifier[0]:
        case "?":
            return 0, 1
        case "*":
            return 0, None
        case "+":
            return 1, None
    low = int(quantifier[1])
    if not quantifier[2]:
        return low, low
    return low, int(quantifier[3]) if quantifier[3] else None


def render(node: Node) -> str:
    """The pattern as text that RE2 and `re` read alike."""
    match node:
        case Atom(source):
            return source
        case Sequence(parts):
            return "".join(map(render, parts))
        case Choice(options):
            return f"(?:{'|'.join(map(render, options))})"
        case Repeat(part, low, high):
            return f"(?:{render(part)}){{{low},{'' if high is None else high}}}"


def prefixes(node: Node) -> str | None:
    """A pattern of every proper prefix of a match, the empty one included; None when there is none."""
    match node:
        case Atom():
            return ""
        case Sequence(parts):
            return reduce(_before, reversed(parts), None)
        case Choice(options):
            return _union(*map(prefixes, options))
        case Repeat(part, _, high):
            inner = prefixes(part)
            if inner is None or high == 0:
                return None
            return f"(?:{render(part)}){{0,{'' if high is None else high - 1}}}{_group(inner)}"


def _before(rest: str | None, part: Node) -> str | None:
    """Proper prefixes of `part` and what follows it, given those of what follows."""
    return _union(prefixes(part), None if rest is None else render(part) + _group(rest))


def _union(*patterns: str | None) -> str | None:
    some = [pattern for pattern in patterns if pattern is not None]
    return "|".join(dict.fromkeys(some)) if some else None


def _group(pattern: str) -> str:
    return f"(?:{pattern})" if pattern else ""


def loosened(node: Node) -> Node:
    """The pattern without its counts above `_COUNTED`: it matches more, and has few states."""
    match node:
        case Atom():
            return node
        case Sequence(parts):
            return Sequence(tuple(map(loosened, parts)))
        case Choice(options):
            return Choice(tuple(map(loosened, options)))
        case Repeat(part, low, high):
            if high is None or high > _COUNTED:
                return Repeat(loosened(part), min(low, 1), None)
            return Repeat(loosened(part), low, high)


def longest(node: Node) -> int | None:
    """The length of the longest match in characters, or None when it has no end."""
    match node:
        case Atom():
            return 1
        case Sequence(parts):
            lengths = [longest(part) for part in parts]
            return None if None in lengths else sum(length or 0 for length in lengths)
        case Choice(options):
            lengths = [longest(option) for option in options]
            return None if None in lengths else max(length or 0 for length in lengths)
        case Repeat(part, _, high):
            length = longest(part)
            return None if high is None or length is None else high * length


def alphabet(node: Node) -> frozenset[int]:
    """The bytes that a match can have anywhere in it."""
    match node:
        case Atom():
            return first(node)
        case Sequence(parts) | Choice(parts):
            return frozenset().union(*map(alphabet, parts))
        case Repeat(part):
            return alphabet(part)


def first(node: Node) -> frozenset[int]:
    """The bytes that a match can begin with."""
    return _first(node)[0]


def _first(node: Node) -> tuple[frozenset[int], bool]:
    """The first bytes, and whether the empty text matches."""
    match node:
        case Atom(source):
            atom = re.compile(source.encode("latin-1"), re.DOTALL)
            return frozenset(byte for byte in range(256) if atom.fullmatch(bytes((byte,)))), False
        case Sequence(parts):
            found: frozenset[int] = frozenset()
            for part in parts:
                begins, empty = _first(part)
                found |= begins
                if not empty:
                    return found, False
            return found, True
        case Choice(options):
            pairs = [_first(option) for option in options]
            return frozenset().union(*(begins for begins, _ in pairs)), any(empty for _, empty in pairs)
        case Repeat(part, low, _):
            begins, empty = _first(part)
            return begins, empty or low == 0
