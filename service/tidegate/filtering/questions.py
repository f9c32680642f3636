"""Which rows to ask where a value may start, and what they answer.

Most of what RE2 proposes is no value. Where several rows could have one, a single pattern tells the first of them that
can match at all, so that they are not asked one by one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from typing import NamedTuple

from tidegate.filtering.detector import Accept, Detector, Hit

KEY = 3
"""Leading bytes by which rows are told apart."""

_KEYS = 1 << 14  # bounds the memory that a hostile text can fill
_FEW = 3  # rows that are as quickly asked one by one
_hit = partial(tuple.__new__, Hit)  # a third of what it takes by name


class Question(NamedTuple):
    """A row to ask at a position, and what of it is used there."""

    row: Detector
    exact: Callable[[bytes, int, int], re.Match[bytes] | None]
    cap: int
    accept: Accept | None
    """What has the last word, where nothing else is to be asked."""


class Questions:
    """Rows to ask at a position, in the order of the table. One pattern tells the first of them that can match."""

    __slots__ = ("_first", "_numbers", "_reach", "_rests", "rows")

    def __init__(self, rows: tuple[Question, ...]) -> None:
        self.rows = rows
        self._reach = max((cap for _, _, cap, _ in rows), default=0)
        self._first: Callable[[bytes, int, int], re.Match[bytes] | None] | None = None
        self._numbers: dict[int, int] = {}  # of a row, by its group in the pattern
        self._rests: dict[int, Questions] = {}

    def hit(self, view: bytes, at: int) -> Hit | None:
        """The value that the first row has here that has one."""
        asked, number = self, -1
        while (number := asked.next(view, at)) >= 0:
            row, exact, cap, accept = asked.rows[number]
            match = exact(view, at, at + cap)
            if match is not None:
                if accept is None:
                    hit = row.hit(view, at, match)
                    if hit is not None:
                        return hit
                elif (span := accept(match)) is not None:
                    return _hit((row, at, *span, False, ""))
            asked = asked._behind(number)
        return None

    def hit_of(self, rows: Sequence[Question], view: bytes, at: int) -> Hit | None:
        """The value that the first of these rows, which are some of all, has here."""
        if len(rows) > _FEW and self.next(view, at) < 0:
            return None
        for row, exact, cap, _ in rows:
            match = exact(view, at, at + cap)
            if match is not None and (hit := row.hit(view, at, match)) is not None:
                return hit
        return None

    def next(self, view: bytes, at: int) -> int:
        """The number of the first row that can match here, or -1: text beyond its cap may be part of that."""
        if len(self.rows) < 2:
            return len(self.rows) - 1
        found = (self._first or self._joined())(view, at, at + self._reach)
        return -1 if found is None else self._numbers[found.lastindex or 0]

    def _joined(self) -> Callable[[bytes, int, int], re.Match[bytes] | None]:
        groups = 0
        parts: list[str] = []
        for guard, same in groupby(enumerate(self.rows), key=lambda each: each[1].row.guard):
            shapes: list[str] = []
            for number, question in same:
                shape = question.row.shape
                groups += re.compile(shape.encode("latin-1")).groups + 1
                self._numbers[groups] = number
                shapes.append(f"{shape}()")
            parts.append(f"{guard}(?:{'|'.join(shapes)})")
        self._first = re.compile("|".join(parts).encode("latin-1"), re.DOTALL).match
        return self._first

    def _behind(self, number: int) -> Questions:
        """What is left to ask when this row, and those before it, have no value."""
        rest = self._rests.get(number)
        if rest is None:
            rest = self._rests[number] = Questions(self.rows[number + 1 :])
        return rest


class ByKey(dict[bytes, Questions]):
    """Leading bytes to the rows whose values can begin so, filled as they come."""

    def __init__(self, rows: Sequence[Detector]) -> None:
        super().__init__()
        self._rows = [
            Question(row, row.exact.match, row.cap, None if row.near or row.run else row.accept) for row in rows
        ]
        self._known: dict[tuple[Question, ...], Questions] = {}

    def __missing__(self, key: bytes) -> Questions:
        rows = tuple(question for question in self._rows if question.row.may_begin(key))
        found = self._known.get(rows)
        if found is None:
            found = self._known[rows] = Questions(rows)
        if len(self) < _KEYS:
            self[key] = found
        return found
