"""Rows whose values are values only behind certain words: where no word stands, no value is looked for."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

from tidegate.filtering import grammar
from tidegate.filtering.automaton import Automaton
from tidegate.filtering.detector import STARTING, UNANCHORED, Detector, Match, Span, matcher, worded
from tidegate.filtering.questions import Question

_KEYS = 1 << 14  # bounds the memory that a hostile text can fill
_PREFIX = re.compile(rb"\A(?:_|\\[nrt])(?=.)", re.DOTALL)  # what may stand before a word, beside a boundary


class Near(Automaton):
    """The automaton of such rows."""

    def __init__(self, rows: Sequence[Detector], signs: Sequence[Detector] = ()) -> None:
        super().__init__(rows, signs)
        self.words = Vocabulary(rows)

    def waiting(self, view: bytes, start: int, end: int) -> int:
        """As for any row, of the positions within reach of a word."""
        start = max(start, end - self.cap + 1)
        word = self.words.find(view, start - self.words.within)[0]
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
        found: Span = self._search(UNANCHORED, view, start if start > 0 else 0, len(view))[0]
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
    """The words of an automaton before a position that moves through a view from left to right."""

    __slots__ = ("_begins", "_cap", "_next", "_reach", "_seen", "_view", "_vocabulary")

    def __init__(self, automaton: Near, view: bytes) -> None:
        self._begins = automaton.begins
        self._cap = automaton.cap
        self._vocabulary = automaton.words
        self._view = view
        self._reach = -1  # how far a word reaches that stands before the position
        self._seen: dict[Detector, int] = {}  # where the last word of each row begins
        self._next: Span = (-sys.maxsize, 0)  # the first word that is not among them

    def first(self, view: bytes, at: int, start: int, end: int) -> int:
        """The leftmost position from `at` within reach of a word where a value may start, or `end`: see `Automaton`."""
        while at < end:
            if at > self._reach:
                word = self._before(at)
                if word < 0:
                    break
                self._reach = word + self._vocabulary.within
                if word >= at:
                    at, start = word + 1, word
            reach = self._reach
            found = self._begins(UNANCHORED, view, start, min(end, reach + self._cap))[0][0]
            if 0 <= found <= reach:
                return found if found > at else at
            at, start = reach + 1, reach
        return end

    def _before(self, at: int) -> int:
        """A word from which `at` is within reach, and more behind it if that can be; or else the next, or -1."""
        find, view, within = self._vocabulary.find, self._view, self._vocabulary.within
        word = find(view, at - within // 2)[0]
        return word if 0 <= word < at else find(view, at - within)[0]

    def before(self, at: int, rows: Sequence[Question]) -> list[Question]:
        """Those of the rows that may have a word of theirs within reach of `at`, which never decreases."""
        vocabulary, view, seen = self._vocabulary, self._view, self._seen
        find, low = vocabulary.find, at - vocabulary.within
        start, end = self._next
        if start < low:
            start, end = find(view, low)
        while 0 <= start < at:
            for row in vocabulary.rows(view[start:end]):
                seen[row] = start
            start, end = find(view, start + 1)
        self._next = (start, end) if start >= 0 else (len(view), 0)
        return [question for question in rows if seen.get(question[0], -1) >= low]
