"""Rows that are looked for by one RE2 automaton: where a value may start, which rows to ask there, what must wait.

RE2 only proposes positions. Rows share an automaton where their states do not multiply; a row that counts characters
of many kinds, such as an e-mail address, has one of its own.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

from tidegate.filtering import grammar
from tidegate.filtering.detector import STARTING, UNANCHORED, Accept, Detector, Match, Span, matcher, worded

KEY = 3
"""Leading bytes by which rows are told apart."""

_KEYS = 1 << 14  # bounds the memory that a hostile text can fill
_PREFIX = re.compile(rb"\A(?:_|\\[nrt])(?=.)", re.DOTALL)  # what may stand before a word, beside a boundary


class Question(NamedTuple):
    """A row to ask at a position, and what of it is used there."""

    row: Detector
    exact: Callable[[bytes, int, int], re.Match[bytes] | None]
    cap: int
    accept: Accept | None
    """What has the last word, where nothing else is to be asked."""


class _Questions(dict[bytes, tuple[Question, ...]]):
    """Leading bytes to the rows whose values can begin so, filled as they come."""

    def __init__(self, rows: Sequence[Detector]) -> None:
        super().__init__()
        self._rows = [
            Question(row, row.exact.match, row.cap, None if row.near or row.run else row.accept) for row in rows
        ]

    def __missing__(self, key: bytes) -> tuple[Question, ...]:
        found = tuple(question for question in self._rows if question.row.may_begin(key))
        if len(self) < _KEYS:
            self[key] = found
        return found


class Step(NamedTuple):
    """How the next position where a value may start is found."""

    begins: Match
    reached: Callable[[bytes, int, int, int], int] | None
    """Asked instead, where there is more to it than one search."""


class Automaton:
    """Rows whose values are values wherever they stand."""

    near: Vocabulary | None = None
    """The words of which one must stand before a value."""

    def __init__(self, rows: Sequence[Detector], signs: Sequence[Detector] = ()) -> None:
        """`signs` are sleeping rows, for whose signs this automaton waits."""
        self.cap = max(row.cap for row in rows)
        self.needs = rows[0].needs
        self._lead = rows[0].lead if self.needs and not signs else None
        self._begins = matcher("|".join(row.begins for row in rows))
        self._most = max(row.lead[1] for row in rows) if self.needs else 0
        self.step = Step(self._begins, self.first if self.needs else None)
        waits = [(row.loosely_unfinished if row.loose or row.sign else row.unfinished, row.cap) for row in rows]
        waits += [row.half_sign for row in signs]
        self._unfinished = _at_the_end(waits)
        self._reach = max(cap for _, cap in waits) - 1
        bounded = max([row.cap for row in rows if not row.run] + [cap for _, cap in waits[len(rows) :]], default=0)
        tiers = sorted({0, bounded} | {row.cap for row in rows if row.run})
        self._tiers = [
            (high, _at_the_end([each for each in waits if low < each[1] <= high])) for low, high in pairwise(tiers)
        ]
        self._bounded = self._tiers[0][0]
        self.questions = _Questions(rows)
        """The rows that can match, in the order of the table, by the `KEY` bytes (fewer at the end) there."""

    def first(self, view: bytes, at: int, start: int, end: int) -> int:
        """The leftmost position from `at` where a value may start, or `end`.

        `start` is `at`, or one less where a trigger may begin a byte before its value.
        """
        if self.needs:
            sign = view.find(self.needs, at, end)
            if sign < 0:
                return end
            if sign - self._most > start:
                start = sign - self._most
        found: int = self._begins(UNANCHORED, view, start, end)[0][0]
        return end if found < 0 else found if found > at else at

    def waiting(self, view: bytes, start: int, end: int) -> int:
        """The leftmost position from `start` about which text to come can still change the answer, or -1."""
        if self._lead and self.needs not in view:
            chars, most = self._lead
            low, run = end - most, len(view.rstrip(chars))
            if run < low:
                run = low
            return run if run > start else start
        low = end - self._reach
        found: int = self._unfinished(UNANCHORED, view, low if low > start else start, end)[0][0]
        if found < 0 or end - found < self._bounded:
            return found
        # Of what began so long ago only the rows with a cap beyond that can still wait.
        tiers = [search(UNANCHORED, view, max(start, end - cap + 1), end)[0][0] for cap, search in self._tiers]
        return min([found for found in tiers if found >= 0], default=-1)


class Near(Automaton):
    """Rows whose values are values only behind certain words: where no word stands, no value is looked for."""

    def __init__(self, rows: Sequence[Detector], signs: Sequence[Detector] = ()) -> None:
        super().__init__(rows, signs)
        self.near = self._words = Vocabulary(rows)
        self.step = self.step._replace(reached=self.first)

    def first(self, view: bytes, at: int, start: int, end: int) -> int:
        """As for any row, of the positions within reach of a word."""
        find, within = self._words.find, self._words.within
        word = find(view, at - within)[0]
        while word >= 0:
            reach = word + within
            found = super().first(view, max(at, word), max(start, word), min(end, reach + self.cap))
            if found <= reach and found < end:
                return found
            word = find(view, max(word + 1, found - within))[0]
        return end

    def waiting(self, view: bytes, start: int, end: int) -> int:
        """As for any row, of the positions within reach of a word."""
        start = max(start, end - self.cap + 1)
        word = self._words.find(view, start - self._words.within)[0]
        return -1 if word < 0 else super().waiting(view, max(start, word), end)


class Vocabulary:
    """The words of rows that need some, and for each word as it is written the rows that may need it."""

    def __init__(self, rows: Sequence[Detector]) -> None:
        self.within = max(row.within for row in rows)
        self._search = matcher(worded("|".join(dict.fromkeys(row.near for row in rows))), longest=True)
        self._known: dict[bytes, frozenset[Detector]] = {}
        self._by_byte: dict[int, list[tuple[Detector, Match]]] = {}
        for row in rows:
            match = matcher(f"(?i:{row.near})")
            for byte in grammar.first(grammar.parse(f"(?i:{row.near})")):
                self._by_byte.setdefault(byte, []).append((row, match))

    def find(self, view: bytes, start: int) -> Span:
        """The first word from `start` on, -1 where there is none."""
        found: Span = self._search(UNANCHORED, view, max(0, start), len(view))[0]
        return found

    def rows(self, word: bytes) -> frozenset[Detector]:
        """The rows of which a word begins as this one does: all that have it, and perhaps one that has not."""
        word = word.lower()
        found = self._known.get(word)
        if found is None:
            bare = _PREFIX.sub(b"", word)
            found = frozenset(
                row
                for each in {word, bare}
                for row, match in self._by_byte.get(each[0], ())
                if match(STARTING, each, 0, len(each))[0][0] == 0
            )
            if len(self._known) < _KEYS:
                self._known[word] = found
        return found


class Words:
    """The words before a position that moves through a view from left to right."""

    __slots__ = ("_next", "_seen", "_view", "_vocabulary")

    def __init__(self, vocabulary: Vocabulary, view: bytes) -> None:
        self._vocabulary = vocabulary
        self._view = view
        self._seen: deque[tuple[int, frozenset[Detector]]] = deque()
        self._next: Span = (0, 0)

    def before(self, at: int) -> set[Detector]:
        """The rows that may have a word of theirs within reach of `at`, which never decreases."""
        find, view, seen, word = self._vocabulary.find, self._view, self._seen, self._next
        low = at - self._vocabulary.within
        if 0 <= word[0] < low or word == (0, 0):
            word = find(view, low)
        while 0 <= word[0] < at:
            seen.append((word[0], self._vocabulary.rows(view[word[0] : word[1]])))
            word = find(view, word[0] + 1)
        self._next = word
        while seen and seen[0][0] < low:
            seen.popleft()
        return {row for _, rows in seen for row in rows}


def _at_the_end(waits: Sequence[tuple[str, int]]) -> Match:
    return matcher(rf"(?:{'|'.join(dict.fromkeys(pattern for pattern, _ in waits))})\z")
