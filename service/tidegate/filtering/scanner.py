"""All detectors of a plan as one machine: where a value may start, whether it does, and what must wait for more text.

The answer for a text is defined without any machine: *from left to right, the first position where a detector decides
that a value starts is taken, in the order of the table; the search goes on behind the value.* RE2 only proposes
positions, so a proposal that is turned down hides nothing.
"""

from __future__ import annotations

from functools import lru_cache
from weakref import WeakKeyDictionary

from tidegate.filtering.detector import UNANCHORED, Hit, matcher
from tidegate.filtering.detectors import DETECTORS, ENTITIES
from tidegate.filtering.ruleset import FilterPlan

_DIGITS = frozenset(b"0123456789")
_LETTERS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_BEFORE = frozenset(b"_nrt")


class Scanner:
    """The compiled detectors of a set of entities. Stateless, and shared between threads and rewriters."""

    def __init__(self, entities: frozenset[str]) -> None:
        rows = tuple(row for row in DETECTORS if row.entity in entities)
        groups = {needs: [row for row in rows if row.apart == needs] for needs in sorted({row.apart for row in rows})}
        self._proposals = [
            (number, needs, matcher("|".join(row.begins for row in group)))
            for number, (needs, group) in enumerate(groups.items())
        ]
        self._unfinished = [matcher(rf"(?:{'|'.join(row.unfinished for row in group)})\z") for group in groups.values()]
        self._by_byte = tuple(
            tuple((row, row.exact.match, row.cap) for row in rows if byte in row.first) for byte in range(256)
        )
        self._endless = min((row.cap for row in rows if row.run), default=0)
        self.cap = max(row.cap for row in rows)

    def propose(self, view: bytes, at: int, known: list[int]) -> int:
        """The first position from `at` where a value may start, or the view's length.

        `known` is the caller's, empty at first and for one view: what was found ahead and need not be searched again.
        """
        nearest = end = len(view)
        if not known:
            known += [-1] * len(self._proposals)
        for number, needs, search in self._proposals:
            found = known[number]
            if found < at:
                early = at > 0 and _early(view[at - 1], view[at])
                if early and found == at - 1:  # what began there was not it: it may have been for this one
                    found = at
                else:
                    found = search(UNANCHORED, view, at - 1 if early else at, end)[0][0] if needs in view else -1
                    found = end if found < 0 else max(at, found)
                known[number] = found
            if found < nearest:
                nearest = found
        return nearest

    def decide(self, view: bytes, at: int) -> Hit | None:
        """The value that starts here. The answer is final for every position before `hold`."""
        for row, match, cap in self._by_byte[view[at]]:
            found = match(view, at, at + cap)
            if found is not None and (hit := row.hit(view, at, found)) is not None:
                return hit
        return None

    def hold(self, view: bytes, start: int) -> int:
        """The leftmost position, from `start`, about which text to come can still change the answer."""
        end = len(view)
        at = self._leftmost(view, max(start, end - self.cap), end)
        while self._endless and end - at >= self._endless and not self._waits(view, at):
            at = self._leftmost(view, at + 1, end)
        return at

    def _leftmost(self, view: bytes, start: int, end: int) -> int:
        at = end
        for search in self._unfinished:
            found = search(UNANCHORED, view, start, end)[0][0]
            if 0 <= found < at:
                at = found
        return at

    def _waits(self, view: bytes, at: int) -> bool:
        return any(row.waits(view, at) for row, _, _ in self._by_byte[view[at]])


def _early(before: int, byte: int) -> bool:
    """Whether a trigger for a value at `byte` may begin at the one before it."""
    return before in _BEFORE or (byte in _DIGITS and before in _LETTERS)


@lru_cache(maxsize=64)
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
