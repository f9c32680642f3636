"""References of an answer that nothing in its request vouches for: pages, people and works that may not exist.

Of the request only hashes of its references are kept, and no more than `MOST`. What is beyond them counts as not
there: an answer that refers to it is found.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import islice
from typing import Any, Final

from tidegate.errors import MalformedBody
from tidegate.filtering.formats.json_text import parse
from tidegate.filtering.references import (
    CITATION,
    ISBN,
    MARKER,
    NUMBERS,
    UNGROUNDED,
    Reference,
    canonicals,
    in_token,
    isbn_of,
    numbers_of,
    works_in,
)
from tidegate.filtering.ruleset import FilterPlan
from tidegate.filtering.spotting import Effort, Mark

MOST: Final = 16_384
"""References of a request that are known."""

LONGEST: Final = 2048
"""Characters without a space that are read as one."""
_BRACKETS: Final = 160
_GROUP: Final = re.compile(rf"\([^()\n]{{4,{_BRACKETS}}}\)")
_GROUP_BEGUN: Final = re.compile(rf"\([^()\n]{{0,{_BRACKETS}}}\Z")
_GROUP_STARTS: Final = re.compile(r"\((?:[A-Z\u00c0-\u00desce]|\Z)")  # a name, or "see", "cf." and "e.g." before it
_NUMBERS_BEGUN: Final = re.compile(r"\[[0-9 ,;\u2013-]{0,60}\]?\Z")
_ISBN_BEGUN: Final = re.compile(r"I(?:S(?:B(?:N[-0-9Xx: \u00a0]{0,32})?)?)?\Z", re.IGNORECASE)
_OPENING: Final = frozenset("([{<\"'*_`\u201c\u201e\u00ab")
_SPACE: Final = re.compile(r"\s+")
_TOKEN: Final = re.compile(rf"\S{{1,{LONGEST}}}")
_WORDS: Final = frozenset("iI")
_DIGEST: Final = 8  # bytes


class GroundingSpotter:
    """Finds references that are not among `known`, hashes of canonical forms. Stateless, and shared between threads."""

    entities = UNGROUNDED
    effort = Effort.QUICK
    cap = LONGEST + 1

    def __init__(self, known: frozenset[int] = frozenset()) -> None:
        self.known = known

    def open(self) -> GroundingReading:
        """Begin with a text."""
        return GroundingReading(self.known)


class GroundingReading:
    """One text. `_text` begins with the character before what is not decided."""

    def __init__(self, known: frozenset[int]) -> None:
        self._known = known
        self._text = ""
        self._base = 0
        self._at = 0

    @classmethod
    def names_in(cls, text: str) -> Iterator[str]:
        """What an answer of these words refers to, in the forms that are compared."""
        reading = cls(frozenset())
        reading._text = text
        while reading._at < len(text):
            for _, names in reading._unit(final=True) or ():
                yield from names

    @property
    def decided(self) -> int:
        """The place before which all is told."""
        return self._base + self._at

    def feed(self, text: str) -> Sequence[Mark]:
        """What is certain now."""
        return self._read(text, final=False)

    def finish(self) -> Sequence[Mark]:
        """What the end makes certain."""
        return self._read("", final=True)

    def _read(self, text: str, *, final: bool) -> list[Mark]:
        self._text += text
        marks: list[Mark] = []
        while self._at < len(self._text) and (found := self._unit(final)) is not None:
            for reference, names in found:
                if not all(_digest(name) in self._known for name in names):
                    start, end = self._base + reference.start, self._base + reference.end
                    marks.append(Mark(reference.entity, "reference", start, end))
        keep = max(0, self._at - 1)
        self._text = self._text[keep:]
        self._base += keep
        self._at -= keep
        return marks

    def _unit(self, final: bool) -> list[tuple[Reference, Iterable[str]]] | None:
        """Read on by one piece; None when it is not over."""
        text, at = self._text, self._at
        if space := _SPACE.match(text, at):
            self._at = space.end()
            return []
        sign = text[at]
        if sign == "(" and _GROUP_STARTS.match(text, at):
            if not final and _GROUP_BEGUN.match(text, at):
                return None
            if (group := _GROUP.match(text, at)) and (works := [*works_in(text, *group.span())]):
                self._at = group.end()
                return [(work, (work.canonical,)) for work in works]
        elif sign == "[":
            if not final and _NUMBERS_BEGUN.match(text, at):
                return None
            if numbers := NUMBERS.match(text, at):
                self._at = numbers.end()
                return [(Reference(MARKER, "", at, numbers.end()), numbers_of(numbers[1]))]
        elif sign in _WORDS and not text[at - 1 : at].isalnum():
            if not final and _ISBN_BEGUN.match(text, at):
                return None
            if (number := ISBN.match(text, at)) and (one := isbn_of(number[1])):
                self._at = number.end()
                return [(Reference(CITATION, one, at, number.end()), (one,))]
        if sign in _OPENING:
            self._at = at + 1
            return []
        token = _TOKEN.match(text, at)
        end = at if token is None else token.end()
        if not final and end == len(text) and end - at < LONGEST:
            return None
        self._at = end
        return [(reference, (reference.canonical,)) for reference in in_token(text, at, end)]


def known_of(body: bytes) -> frozenset[int]:
    """The hashes of what a request refers to: its strings when it is JSON, else its text."""
    text = body.decode("utf-8", "replace")
    try:
        document = parse(text)
    except MalformedBody:
        document = text
    names = (name for one in _strings(document) for name in _names_in(one))
    return frozenset(map(_digest, islice(names, MOST)))


def _names_in(text: str) -> Iterator[str]:
    yield from canonicals(text)
    if len(text) > LONGEST:  # what is too long to be read as one is known in the pieces in which it will be read
        yield from GroundingReading.names_in(text)


def packed(known: frozenset[int]) -> str:
    """As a word that goes from one replica to another."""
    return base64.b64encode(b"".join(one.to_bytes(_DIGEST, "big") for one in sorted(known))).decode("ascii")


def unpacked(word: str) -> frozenset[int]:
    """What `packed` made a word of; ValueError for another one."""
    raw = base64.b64decode(word, validate=True)
    if len(raw) % _DIGEST or len(raw) > MOST * _DIGEST:
        raise ValueError("no references of a request")
    return frozenset(int.from_bytes(raw[at : at + _DIGEST], "big") for at in range(0, len(raw), _DIGEST))


def grounded(plan: FilterPlan, known: frozenset[int]) -> FilterPlan:
    """The plan for the answer to a request that refers to what is `known`; itself, where it looks for no references."""
    return (
        plan
        if not plan.spotters
        else plan.spotting(
            GroundingSpotter(known) if isinstance(spotter, GroundingSpotter) else spotter for spotter in plan.spotters
        )
    )


def needs_request(plan: FilterPlan) -> bool:
    """Whether what a plan finds depends on the request."""
    return any(isinstance(spotter, GroundingSpotter) for spotter in plan.spotters)


def _digest(name: str) -> int:
    """The same in every process."""
    return int.from_bytes(blake2b(name.encode("utf-8", "surrogatepass"), digest_size=_DIGEST).digest(), "big")


def _strings(document: Any) -> Iterator[str]:
    waiting = [document]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, dict):
            waiting += reversed(one.values())
        elif isinstance(one, list):
            waiting += reversed(one)
