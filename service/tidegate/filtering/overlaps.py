"""Values that overlap are one, under the strictest action: a value must not hide another that begins inside of it.

The first value from the left is taken (`tidegate.filtering.scanner`). What begins where it stands is looked for again
with the detectors of stricter actions alone, and so on with each that is found, so a masked address does not keep from
blocking a key that is in it. Texts without values, and plans with one action, pay nothing for it.
"""

from __future__ import annotations

from typing import NamedTuple

from tidegate.filtering.detector import Detector, Hit
from tidegate.filtering.literal import Written
from tidegate.filtering.ruleset import Action, FilterPlan
from tidegate.filtering.scanner import Look, scanner_for


class Value(NamedTuple):
    """All that overlaps, from `start` to `end` of the view; `worst` has the strictest action of it.

    `endless` goes on behind `end`, longer than its cap.
    """

    worst: Hit
    start: int
    end: int
    endless: Detector | None


class Overlaps:
    """A view under the detectors of stricter actions, and as it is written. `final` says that its text is over."""

    def __init__(self, plan: FilterPlan, view: bytes, written: Written | None, *, final: bool) -> None:
        self._plan = plan
        self._view = view
        self._written = written
        self._final = final
        self._looks: dict[Action, Look | None] = {}
        self._holds: dict[Action, int] = {}

    def value(self, hit: Hit) -> Value | None:
        """The value that begins with `hit`, of which positions never decrease; None while it is not certain."""
        row, at, start, end, over, _ = hit
        worst, endless = hit, row if over else None
        while True:
            until, inner = self.inside(row, at, end)
            if inner is None:
                return None if until < end else Value(worst, start, end, endless)
            start = min(start, inner.start)
            if inner.end >= end:
                endless = inner.endless or (endless if inner.end == end else None)
                end = inner.end
            if self._action(inner.worst) > self._action(worst):
                worst = inner.worst
            at = max(inner.end, at)

    def inside(self, row: Detector, at: int, end: int) -> tuple[int, Value | None]:
        """The first stricter value from `at` on and before `end`, and how far it is certain that none comes before."""
        action = self._plan.actions[row.entity]
        look = self._look(action)
        if look is None:
            return end, None
        known = end
        if not self._final:
            # The leftmost place that waits is the same from everywhere before it.
            if self._holds.get(action, -1) < at:
                self._holds[action] = look.hold(at)
            known = min(end, self._holds[action])
        hit = look.find(at, known)
        if hit is None:
            return known, None
        return hit.at, self.value(hit)

    def _action(self, hit: Hit) -> Action:
        return self._plan.actions[hit.detector.entity]

    def _look(self, action: Action) -> Look | None:
        if action not in self._looks:
            plan = self._plan.stricter.get(action)
            scanner = plan and scanner_for(plan)
            look = self._looks[action] = scanner.look(self._view) if scanner else None
            if look is not None and scanner and self._written is not None:
                look.literal = self._written.under(scanner)
        return self._looks[action]
