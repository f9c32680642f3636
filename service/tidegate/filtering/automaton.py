"""Rows that are looked for by one RE2 automaton: where a value may start, which rows to ask there, what must wait.

RE2 only proposes positions. Rows share an automaton where their states do not multiply; a row that counts characters
of many kinds, such as an e-mail address, has one of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

from tidegate.filtering.detector import UNANCHORED, Detector, Match, matcher, worded

KEY = 3
"""Leading bytes by which rows are told apart."""

_KEYS = 1 << 14  # bounds the memory that a hostile text can fill


class Question(NamedTuple):
    """A row to ask at a position, and what of it is used there."""

    row: Detector
    exact: Callable[[bytes, int, int], re.Match[bytes] | None]
    cap: int
    simple: bool
    """Whether what its `accept` says is all."""


class _Questions(dict[bytes, tuple[Question, ...]]):
    """Leading bytes to the rows whose values can begin so, filled as they come."""

    def __init__(self, rows: Sequence[Detector]) -> None:
        super().__init__()
        self._rows = [Question(row, row.exact.match, row.cap, not (row.near or row.run)) for row in rows]

    def __missing__(self, key: bytes) -> tuple[Question, ...]:
        found = tuple(question for question in self._rows if question.row.may_begin(key))
        if len(self) < _KEYS:
            self[key] = found
        return found


class Automaton:
    """Rows whose values are values wherever they stand."""

    def __init__(self, rows: Sequence[Detector], signs: Sequence[Detector] = ()) -> None:
        """`signs` are sleeping rows, for whose signs this automaton waits."""
        self.cap = max(row.cap for row in rows)
        self._needs = rows[0].needs
        self._begins = matcher("|".join(row.begins for row in rows))
        waits = [(row.loosely_unfinished if row.loose or row.sign else row.unfinished, row.cap) for row in rows]
        waits += [row.half_sign for row in signs]
        self._unfinished = _at_the_end(waits)
        self._reach = max(cap for _, cap in waits)
        bounded = max([row.cap for row in rows if not row.run] + [cap for _, cap in waits[len(rows) :]], default=0)
        tiers = sorted({0, bounded} | {row.cap for row in rows if row.run})
        self._tiers = [
            (high, _at_the_end([each for each in waits if low < each[1] <= high])) for low, high in pairwise(tiers)
        ]
        self.questions = _Questions(rows)
        """The rows that can match, in the order of the table, by the `KEY` bytes (fewer at the end) there."""

    def first(self, view: bytes, at: int, start: int, end: int) -> int:
        """The leftmost position from `at` where a value may start, or `end`.

        `start` is `at`, or one less where a trigger may begin a byte before its value.
        """
        found: int = self._begins(UNANCHORED, view, start, end)[0][0] if self._needs in view else -1
        return end if found < 0 else max(at, found)

    def waiting(self, view: bytes, start: int) -> int:
        """The leftmost position from `start` about which text to come can still change the answer."""
        end = len(view)
        found: int = self._unfinished(UNANCHORED, view, max(start, end - self._reach + 1), end)[0][0]
        if found < 0:
            return end
        if end - found < self._tiers[0][0]:
            return found
        # Of what began so long ago only the rows with a cap beyond that can still wait.
        tiers = [search(UNANCHORED, view, max(start, end - cap + 1), end)[0][0] for cap, search in self._tiers]
        return min([found for found in tiers if found >= 0], default=end)


class Near(Automaton):
    """Rows whose values are values only behind certain words: where no word stands, no value is looked for."""

    def __init__(self, rows: Sequence[Detector], signs: Sequence[Detector] = ()) -> None:
        super().__init__(rows, signs)
        self._within = max(row.within for row in rows)
        self._words = matcher(worded("|".join(dict.fromkeys(row.near for row in rows))))

    def first(self, view: bytes, at: int, start: int, end: int) -> int:
        """As for any row, of the positions within reach of a word."""
        word = self._word(view, at - self._within, end)
        while word >= 0:
            reach = word + self._within
            found = super().first(view, max(at, word), max(start, word), min(end, reach + self.cap))
            if found <= reach and found < end:
                return found
            word = self._word(view, word + 1, end)
        return end

    def waiting(self, view: bytes, start: int) -> int:
        """As for any row, of the positions within reach of a word."""
        end = len(view)
        start = max(start, end - self.cap + 1)
        word = self._word(view, start - self._within, end)
        return end if word < 0 else super().waiting(view, max(start, word))

    def _word(self, view: bytes, start: int, end: int) -> int:
        found: int = self._words(UNANCHORED, view, max(0, start), end)[0][0]
        return found


def _at_the_end(waits: Sequence[tuple[str, int]]) -> Match:
    return matcher(rf"(?:{'|'.join(dict.fromkeys(pattern for pattern, _ in waits))})\z")
