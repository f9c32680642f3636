"""All detectors of a plan as one machine: where a value may start, whether it does, and what must wait for more text.

The answer for a text is defined without any machine: *from left to right, the first position where a detector decides
that a value starts is taken, in the order of the table; the search goes on behind the value.* RE2 only proposes
positions, so a proposal that is turned down hides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from weakref import WeakKeyDictionary

from tidegate.filtering.automaton import KEY, Automaton, Near
from tidegate.filtering.detector import GUARD_CONTEXT, UNANCHORED, Detector, Hit, Match, matcher, worded
from tidegate.filtering.detectors import DETECTORS, ENTITIES
from tidegate.filtering.ruleset import FilterPlan

_DIGITS = frozenset(b"0123456789")
_LETTERS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_WATCHED = {"": "sign", "e-mail": "spoken"}
_BEFORE = frozenset(b"_nrt")


class Scanner:
    """The compiled detectors of a set of entities. Stateless, and shared between threads and rewriters.

    Rows with a sign, and rows that need words near them, sleep until a sign or a word stands in the view: of text
    without any they cost one search, however many they are.
    """

    def __init__(self, rows: Sequence[Detector]) -> None:
        groups: dict[str, list[Detector]] = {}
        for row in rows:
            groups.setdefault(row.group, []).append(row)
        # Something that is awake must wait for the beginnings of what sleeps.
        watched = {awake: groups[asleep] for awake, asleep in _WATCHED.items() if {awake, asleep} <= groups.keys()}
        self._all = [
            (Near if name == "near" else Automaton)(group, watched.get(name, ())) for name, group in groups.items()
        ]
        sleeping = {"near", *(_WATCHED[name] for name in watched)}
        self._awake = [automaton for name, automaton in zip(groups, self._all, strict=True) if name not in sleeping]
        self._wakes = _waking(groups.get("near", []), [row for group in watched.values() for row in group])
        self.cap = max(row.cap for row in rows)
        self.behind = max(GUARD_CONTEXT, *(row.within + 1 for row in rows))

    def look(self, view: bytes) -> Look:
        """Begin with a view."""
        if self._wakes is None or self._wakes(UNANCHORED, view, 0, len(view))[0][0] >= 0:
            return Look(self._all, view)
        return Look(self._awake, view)


def _waking(near: Sequence[Detector], signs: Sequence[Detector]) -> Match | None:
    """A search for what wakes the sleeping rows; None where there are none."""
    patterns = [worded("|".join(dict.fromkeys(row.near for row in near)))] if near else []
    patterns += dict.fromkeys(row.wake or row.sign for row in signs)
    return matcher("|".join(patterns)) if patterns else None


class Look:
    """A view under the scanner, with what was found ahead and need not be searched again."""

    __slots__ = ("_automata", "_known", "_view")

    def __init__(self, automata: Sequence[Automaton], view: bytes) -> None:
        self._automata = automata
        self._view = view
        self._known = [-1] * len(automata)

    def find(self, at: int, hold: int) -> Hit | None:
        """The first value that starts from `at` on and before `hold`. Nothing behind `hold()` is final."""
        view, known, automata = self._view, self._known, self._automata
        end = len(view)
        while at < hold:
            early = at > 0 and _early(view[at - 1], view[at])
            nearest, first = end, 0
            for number, found in enumerate(known):
                if found < at:
                    # What began a byte early was not it: it may have been for this one.
                    again = early and found == at - 1
                    found = at if again else automata[number].first(view, at, at - early, end)
                    known[number] = found
                if found < nearest:
                    nearest, first = found, number
            if nearest >= hold:
                return None
            at = nearest
            for number in range(first, len(known)):
                if known[number] == at:
                    for row, exact, cap, simple in automata[number].questions[view[at : at + KEY]]:
                        match = exact(view, at, at + cap)
                        if match is None:
                            continue
                        if not simple:
                            hit = row.hit(view, at, match)
                            if hit is not None:
                                return hit
                        elif (span := row.accept(match)) is not None:
                            return Hit(row, *span, over=False)
            at += 1
        return None

    def hold(self, start: int) -> int:
        """The leftmost position, from `start`, about which text to come can still change the answer."""
        view = self._view
        return min([automaton.waiting(view, start) for automaton in self._automata], default=len(view))


def _early(before: int, byte: int) -> bool:
    """Whether a trigger for a value at `byte` may begin at the one before it."""
    return before in _BEFORE or (byte in _DIGITS and before in _LETTERS)


@lru_cache(maxsize=64)
def _scanner(entities: frozenset[str]) -> Scanner:
    return Scanner([row for row in DETECTORS if row.entity in entities])


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
