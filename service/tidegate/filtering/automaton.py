"""Rows that are looked for by one RE2 automaton: where a value may start, which rows to ask there, what must wait.

RE2 only proposes positions. Rows share an automaton where their states do not multiply; a row that counts characters
of many kinds, such as an e-mail address, has one of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from tidegate.filtering.detector import FRESH, UNANCHORED, Detector, Match, matcher
from tidegate.filtering.questions import ByKey, Questions

_WORD_BEGINS = "(?:(?<![0-9A-Za-z"  # a guard that begins so holds nowhere but where FRESH does


class Step(NamedTuple):
    """How the next position where a value may start is found."""

    begins: Match
    reached: Callable[[bytes, int, int, int], int] | None
    """Asked instead, where there is more to it than one search."""
    fresh: Callable[[bytes, int], re.Match[bytes] | None]
    """Where from a position on a guard allows that a value starts."""
    questions: Mapping[bytes, Questions]
    """The rows that can match, by the `KEY` bytes (fewer at the end) of the position."""


class Automaton:
    """Rows whose values are values wherever they stand."""

    def __init__(self, rows: Sequence[Detector], signs: Sequence[Detector] = ()) -> None:
        """`signs` are sleeping rows, for whose signs this automaton waits."""
        self.cap = max(row.cap for row in rows)
        self.needs = rows[0].needs
        self._lead = rows[0].lead if self.needs and not signs else None
        self.begins = matcher("|".join(row.begins for row in rows))
        self._most = max(row.lead[1] for row in rows) if self.needs else 0
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
        self.step = Step(self.begins, self.first if self.needs else None, _fresh(rows), ByKey(rows))

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
        found: int = self.begins(UNANCHORED, view, start, end)[0][0]
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


def _at_the_end(waits: Sequence[tuple[str, int]]) -> Match:
    return matcher(rf"(?:{'|'.join(dict.fromkeys(pattern for pattern, _ in waits))})\z")


def _fresh(rows: Sequence[Detector]) -> Callable[[bytes, int], re.Match[bytes] | None]:
    """A search for where the guard of a row holds before a byte that it can begin with."""
    firsts: dict[str, set[int]] = {}
    for row in rows:
        firsts.setdefault(row.guard, set()).update(row.first)
    tests = {guard: f"(?=[{_listed(first)}]){guard}" for guard, first in firsts.items()}
    words = "|".join(test for guard, test in tests.items() if guard.startswith(_WORD_BEGINS))
    parts = [f"{FRESH}(?:{words})"] if words else []
    parts += [test for guard, test in tests.items() if not guard.startswith(_WORD_BEGINS)]
    return re.compile("|".join(parts).encode("latin-1")).search


def _listed(chars: Iterable[int]) -> str:
    return "".join(f"\\x{char:02x}" for char in sorted(chars))
