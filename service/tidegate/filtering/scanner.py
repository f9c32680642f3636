"""All detectors of a plan as one machine: where a value may start, whether it does, and what must wait for more text.

The answer for a text is defined without any machine: *from left to right, the first position where a detector decides
that a value starts is taken, in the order of the table; the search goes on behind the value.* RE2 only proposes
positions, so a proposal that is turned down hides nothing.
"""

from __future__ import annotations

from functools import lru_cache
from weakref import WeakKeyDictionary

from tidegate.filtering.detector import Detector, Hit, searcher
from tidegate.filtering.detectors import DETECTORS, ENTITIES
from tidegate.filtering.ruleset import FilterPlan


class Scanner:
    """The compiled detectors of a set of entities. Stateless, and shared between threads and rewriters."""

    def __init__(self, entities: frozenset[str]) -> None:
        rows = tuple(row for row in DETECTORS if row.entity in entities)
        self._rows = rows
        self._by_byte = tuple(tuple(row for row in rows if byte in row.first) for byte in range(256))
        self._proposals = searcher("|".join(row.begins for row in rows))
        self._unfinished = searcher(rf"(?:{'|'.join(row.unfinished for row in rows)})\z")
        self._endless = min((row.cap for row in rows if row.run), default=0)
        self.cap = max(row.cap for row in rows)

    def propose(self, view: bytes, start: int) -> int:
        """The next position where a value may start, or the view's length."""
        at = self._proposals(view, start, len(view))
        return len(view) if at < 0 else at

    def decide(self, view: bytes, at: int) -> Hit | None:
        """The value that starts here. The answer is final for every position before `hold`."""
        for row in self._by_byte[view[at]]:
            hit = row.decide(view, at)
            if hit is not None:
                return hit
        return None

    def hold(self, view: bytes, start: int) -> int:
        """The leftmost position, from `start`, about which text to come can still change the answer."""
        end = len(view)
        at = self._unfinished(view, max(start, end - self.cap), end)
        while self._endless and end - at >= self._endless and not any(row.waits(view, at) for row in self._rows):
            at = self._unfinished(view, at + 1, end)
        return at


@lru_cache(maxsize=256)
def _scanner(entities: frozenset[str]) -> Scanner:
    return Scanner(entities)


_BY_PLAN: WeakKeyDictionary[FilterPlan, Scanner | None] = WeakKeyDictionary()


def scanner_for(plan: FilterPlan) -> Scanner | None:
    """The plan's machine, compiled once per set of entities; None when it looks for nothing.

    Raises ValueError when the plan names an entity that the table lacks.
    """
    if plan not in _BY_PLAN:
        entities = frozenset(plan.actions)
        if unknown := entities - ENTITIES:
            raise ValueError(f"no detector for {', '.join(sorted(unknown))}")
        _BY_PLAN[plan] = _scanner(entities) if entities else None
    return _BY_PLAN[plan]
