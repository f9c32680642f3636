"""What a detector is: one row of the table, and the machinery that follows from its pattern.

A row is decided at one position of the view by a bounded window: `GUARD_CONTEXT` bytes to the left, or `within` where
it needs a word there, and `cap` bytes to the right. That is what makes filtering independent of how a text is cut: a
position is decided once no further text can change the answer, which the derived proper prefixes of its pattern say.
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

FRESH = r"(?:(?<![0-9A-Za-z])|(?<=\\[nrt]))"
"""A guard: no word is going on. The n of a written-out line break is no part of a word."""

Span = tuple[int, int]
Accept = Callable[[re.Match[bytes]], Span | None]
Match = Callable[[object, bytes, int, int], list[Span]]

UNANCHORED: object = re2._re2.RE2.Anchor.UNANCHORED
STARTING: object = re2._re2.RE2.Anchor.ANCHOR_START
ANCHORED: object = re2._re2.RE2.Anchor.ANCHOR_BOTH


class Hit(NamedTuple):
    """A value found: the view from `start` to `end`. `over` says that it is longer than its detector's cap.

    `at` is where it was decided, perhaps at a name before it. `value` is what it is, where that is not what is written.
    """

    detector: Detector
    at: int
    start: int
    end: int
    over: bool
    value: str = ""


def whole(match: re.Match[bytes]) -> Span | None:
    """Accept all that matched."""
    return match.span()


def options(*, longest: bool = False) -> re2.Options:
    """RE2 on bytes, no captures, and at most 16 MiB of states, shared by all who use the pattern."""
    chosen = re2.Options()
    chosen.encoding = re2.Options.Encoding.LATIN1
    chosen.never_capture = True
    chosen.log_errors = False
    chosen.longest_match = longest
    chosen.max_mem = 16 << 20
    return chosen


def matcher(pattern: str, *, longest: bool = False) -> Match:
    """`match(UNANCHORED, view, start, end)[0][0]` is the position of the leftmost match, -1 when there is none.

    Of the matches at that position it is the `longest`, or else the one that the pattern names first.

    This is the binding beneath `re2.compile(...).search`, whose match objects triple the cost of a short call.
    """
    match: Match = re2.compile(pattern.encode("latin-1"), options(longest=longest))._regexp.Match
    return match


def searcher(pattern: str) -> Callable[[bytes, int, int], int]:
    """`search(view, start, end)` for the position of the leftmost match, -1 when there is none."""
    match = matcher(pattern)
    return lambda view, start, end: match(UNANCHORED, view, start, end)[0][0]


def worded(words: str) -> str:
    """A pattern of these words in any case, each standing by itself or between underscores."""
    return rf"(?i:(?:\b|_|\\[nrt])(?:{words})(?:\b|_))"


@dataclass(frozen=True, eq=False)
class Detector:
    """One row.

    `body` is the shape of a value and `ahead` what must follow it (the end of the text always may), both in the syntax
    of `tidegate.filtering.grammar`. `guard` is a zero-width test where the body starts, in the syntax of `re`. `accept`
    has the last word on what matched: it returns the span of the value in it, or None, and looks at nothing but the
    match. `near` is a pattern of words (without regard to case) of which one must begin in the `within` bytes before
    the body. `check` says in a few words what `accept` looks at, for the published table.

    `trigger` is a pattern for RE2 that matches wherever a value starts, or just before it at an underscore, at the
    letter of a written-out line break (n, r, t) or at the letter before a digit; without one it follows from the body.
    `sign` is a short pattern, in the syntax of the grammar, that every value begins with: the row is not looked for
    where no sign stands. `wake` is a pattern for RE2 that stands wherever a sign does, where the states of the sign
    itself multiply, or that every value of a row without a sign has. `run` is the character class that goes on with a
    value that has no natural end; such a row needs a trigger, and a `limit`, its cap in bytes of the view. A `loose`
    row, and one with a sign, may be held to the end of a run though it is too long by then, which spares states. Rows
    with the same `automaton` are looked for together; where their states would multiply, a row has one of its own.
    `needs` is a text that every value of the rows in its automaton has.
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
    near: str = ""
    within: int = 0
    check: str = ""
    sign: str = ""
    wake: str = ""
    loose: bool = False
    automaton: str = ""
    needs: bytes = b""

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
    def loosely_unfinished(self) -> str:
        """The same and more, with few states. What is not counted is held to the end of its run, or to the cap."""
        return grammar.prefixes(grammar.loosened(self._node)) or ""

    @cached_property
    def lead(self) -> tuple[bytes, int]:
        """Every byte that may stand before what the row `needs`, and how many of them at most."""
        body = grammar.parse(self.body)
        parts = body.parts if isinstance(body, grammar.Sequence) else ()
        before = grammar.Sequence(parts[: parts.index(grammar.Atom(self.needs.decode()))])
        return bytes(grammar.alphabet(before)), grammar.longest(before) or 0

    @property
    def group(self) -> str:
        """Which rows it is looked for with."""
        return self.automaton or ("sign" if self.sign else "near" if self.near else "")

    @property
    def half_sign(self) -> tuple[str, int]:
        """A pattern of every text that must wait before the row wakes, and what it is shorter than."""
        if not self.sign:
            return self.loosely_unfinished, self.cap
        node = grammar.parse(self.sign)
        return grammar.prefixes(node) or "", grammar.longest(node) or 0

    @cached_property
    def begins(self) -> str:
        """The trigger, given or derived."""
        return self.trigger or grammar.render(grammar.parse(self.body)) + self._follows(r"\z")

    def _follows(self, end: str) -> str:
        if not self.ahead:
            return ""
        return f"(?:{self.ahead}|(?:{grammar.prefixes(grammar.parse(self.ahead))}){end})"

    @cached_property
    def exact(self) -> re.Pattern[bytes]:
        """The pattern for `re`, to be matched at one position and no further than `cap` from it."""
        return re.compile(f"{self.guard}{self.shape}".encode("latin-1"), re.DOTALL)

    @property
    def shape(self) -> str:
        """The same pattern behind its guard."""
        ahead = f"(?={self._follows(chr(92) + 'Z')})" if self.ahead else ""
        return f"(?:{self.body}){ahead}"

    @cached_property
    def swallow(self) -> re.Pattern[bytes]:
        """What goes on with a value that passed the cap."""
        return re.compile(f"{self.run}*".encode("latin-1"), re.DOTALL)

    @cached_property
    def _guarded(self) -> re.Pattern[bytes]:
        return re.compile(self.guard.encode("latin-1"))

    @cached_property
    def _words(self) -> Match:
        return matcher(worded(self.near))

    @cached_property
    def _prefix(self) -> Match:
        return matcher(self.unfinished)

    def waits(self, view: bytes, at: int) -> bool:
        """Whether text that follows the view could change what is decided at this position."""
        if (self.run and len(view) - at >= self.cap) or not self._guarded.match(view, at):
            return False
        return self._prefix(ANCHORED, view, at, len(view))[0][0] == at

    def may_begin(self, key: bytes) -> bool:
        """Whether a value can begin with these bytes, or be all of them."""
        return key[0] in self.first and (
            self._prefix(ANCHORED, key, 0, len(key))[0][0] == 0 or self.exact.match(key) is not None
        )

    def hit(self, view: bytes, at: int, found: re.Match[bytes]) -> Hit | None:
        """The value, if what `exact` found here is one."""
        if self.near and self._words(UNANCHORED, view, max(0, at - self.within), at)[0][0] < 0:
            return None
        span = self.accept(found)
        if span is None:
            return None
        return Hit(self, at, *span, bool(self.run) and self._over(view, at))

    def _over(self, view: bytes, at: int) -> bool:
        end = at + self.cap
        return end <= len(view) and self._prefix(ANCHORED, view, at, end)[0][0] == at
