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

    __slots__ = ("_found", "_reach", "_told", "rows")

    def __init__(self, rows: Sequence[Question]) -> None:
        self.rows = rows
        self._reach = max((cap for _, _, cap, _ in rows), default=0)
        self._found: Callable[[bytes, int, int], re.Match[bytes] | None] | None = None
        self._told: dict[int | None, _Told] = {}  # by the group that tells of a row

    def hit(self, view: bytes, at: int) -> Hit | None:
        """The value that the first row has here that has one."""
        asked: Questions | None = self
        while asked is not None:
            match = (asked._found or asked._joined())(view, at, at + asked._reach)
            if match is None:
                return None
            (row, exact, cap, accept), again, asked = asked._told[match.lastindex]
            if again:
                match = exact(view, at, at + cap)
            if match is not None:
                if accept is None:
                    hit = row.hit(view, at, match)
                    if hit is not None:
                        return hit
                elif (span := accept(match)) is not None:
                    return _hit((row, at, *span, False, ""))
        return None

    def hit_of(
        self, choose: Callable[[int, Sequence[Question]], Sequence[Question]], view: bytes, at: int
    ) -> Hit | None:
        """The same, of rows that want a word before it: where several can match, those are asked that are chosen."""
        match = (self._found or self._joined())(view, at, at + self._reach)
        if match is None:
            return None
        (row, exact, cap, _), again, rest = self._told[match.lastindex]
        if again:
            match = exact(view, at, at + cap)
        if match is not None and (hit := row.hit(view, at, match)) is not None:
            return hit
        if rest is None or (rest._found or rest._joined())(view, at, at + rest._reach) is None:
            return None
        for row, exact, cap, _ in choose(at, rest.rows):
            match = exact(view, at, at + cap)
            if match is not None and (hit := row.hit(view, at, match)) is not None:
                return hit
        return None

    def _joined(self) -> Callable[[bytes, int, int], re.Match[bytes] | None]:
        groups = 0
        parts: list[str] = []
        for guard, same in groupby(enumerate(self.rows, 1), key=lambda each: each[1].row.guard):
            shapes: list[str] = []
            for number, question in same:
                row, own = question.row, re.compile(question.row.shape.encode("latin-1")).groups
                groups += own + 1
                rest = Questions(self.rows[number:]) if number < len(self.rows) else None
                again = own > 0 or (bool(row.limit) and row.cap < self._reach)
                self._told[groups] = _Told(question, again, rest)
                shapes.append(f"{row.shape}()")
            parts.append(f"{guard}(?:{'|'.join(shapes)})")
        self._found = re.compile(("|".join(parts) or "(?!)").encode("latin-1"), re.DOTALL).match
        return self._found


class _Told(NamedTuple):
    """A row that can match, and what is left to ask if it has no value. `again` says that its own pattern has to tell
    what it matched: it has groups, or what was matched goes on beyond its cap."""

    question: Question
    again: bool
    rest: Questions | None


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
