"""What a detector is: one row of the table, and the machinery that follows from its pattern.

A row is decided at one position of the view by a bounded window: `GUARD_CONTEXT` bytes to the left and `cap` bytes to
the right. That is what makes filtering independent of how a text is cut: a position is decided once no further text
can change the answer, which the derived proper prefixes of its pattern say exactly.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import re2

from tidegate.filtering import grammar

GUARD_CONTEXT = 2
"""How far a guard may look to the left, in bytes of the view."""

Accept = Callable[[re.Match[bytes]], int]
Search = Callable[[bytes, int, int], int]


class Hit(NamedTuple):
    """A value found: the view from `start` to `end`. `over` says that it is longer than its detector's cap."""

    detector: Detector
    start: int
    end: int
    over: bool


def whole(match: re.Match[bytes]) -> int:
    """Accept what matched, to its end."""
    return match.end()


def options() -> re2.Options:
    """RE2 on bytes, no captures, and room for the automata of all detectors together (64 MiB at most, shared)."""
    chosen = re2.Options()
    chosen.encoding = re2.Options.Encoding.LATIN1
    chosen.never_capture = True
    chosen.max_mem = 64 << 20
    return chosen


def searcher(pattern: str) -> Search:
    """`search(view, start, end)` for the leftmost match's position, -1 when there is none.

    This calls the binding beneath `re2.compile(...).search`, whose match objects triple the cost of a short call.
    """
    match = re2.compile(pattern.encode("latin-1"), options())._regexp.Match
    anchor = re2._re2.RE2.Anchor.UNANCHORED

    def search(view: bytes, start: int, end: int) -> int:
        return int(match(anchor, view, start, end)[0][0])

    return search


@dataclass(frozen=True, eq=False)
class Detector:
    """One row.

    `body` is the shape of a value and `ahead` what must follow it (the end of the text always may), both in the syntax
    of `tidegate.filtering.grammar`; a capture group in `body` narrows what is replaced. `guard` is a zero-width test at
    the value's start in the syntax of `re`. `accept` has the last word on what matched: it returns the end of the value,
    or -1 for none, and may look at nothing but the match. `run` is the character class that goes on with a value that
    has no natural end; such a row names its `cap` in bytes of the view, and a `trigger` that every value begins with.
    """

    entity: str
    name: str
    body: str
    positives: tuple[str, ...]
    negatives: tuple[str, ...]
    ahead: str = ""
    guard: str = ""
    accept: Accept = whole
    trigger: str = ""
    run: str = ""
    limit: int = 0

    @cached_property
    def _node(self) -> grammar.Node:
        return grammar.parse(f"(?:{self.body})(?:{self.ahead})")

    @cached_property
    def cap(self) -> int:
        """The most that is ever held for this row, in bytes of the view."""
        return grammar.longest(self._node) or self.limit

    @cached_property
    def first(self) -> frozenset[int]:
        """The bytes a value can begin with."""
        return grammar.first(self._node)

    @cached_property
    def unfinished(self) -> str:
        """A pattern of every text that more text could turn into a value, or into another value."""
        return grammar.prefixes(self._node) or ""

    @cached_property
    def begins(self) -> str:
        """A pattern, for RE2, that matches wherever a decided value starts."""
        return self.trigger or grammar.render(grammar.parse(self.body)) + self._follows(r"\z")

    def _follows(self, end: str) -> str:
        if not self.ahead:
            return ""
        return f"(?:{self.ahead}|(?:{grammar.prefixes(grammar.parse(self.ahead))}){end})"

    @cached_property
    def _exact(self) -> re.Pattern[bytes]:
        ahead = f"(?={self._follows(chr(92) + 'Z')})" if self.ahead else ""
        return re.compile(f"{self.guard}(?:{self.body}){ahead}".encode("latin-1"), re.DOTALL)

    @cached_property
    def _waiting(self) -> Search:
        return searcher(rf"\A(?:{self.unfinished})\z")

    @cached_property
    def swallow(self) -> re.Pattern[bytes]:
        """What goes on with a value that passed the cap."""
        return re.compile(f"{self.run}*".encode("latin-1"), re.DOTALL)

    def waits(self, view: bytes, at: int) -> bool:
        """Whether text that follows the view could change what is decided at this position."""
        if self.run and len(view) - at >= self.cap:
            return False
        return self._waiting(view[at:], 0, len(view) - at) == 0

    def decide(self, view: bytes, at: int) -> Hit | None:
        """The value that starts at this position, if one does; call it once nothing waits there, or at the end."""
        end = len(view)
        over = False
        if self.run and end - at >= self.cap:
            end = at + self.cap
            over = self._waiting(view[at:end], 0, self.cap) == 0
        match = self._exact.match(view, at, end)
        if match is None:
            return None
        stop = self.accept(match)
        if stop < 0:
            return None
        return Hit(self, match.start(match.re.groups), stop, over)
