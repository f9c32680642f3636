"""All detectors of a plan as one machine: where a value may start, whether it does, and what must wait for more text.

The answer for a text is defined without any machine: *from left to right, the first position where a detector decides
that a value starts is taken, in the order of the table; the search goes on behind the value.* RE2 only proposes
positions, so a proposal that is turned down hides nothing. What a word says to be a secret begins at that word, before
any row that knows it by itself: it has the name of the first such row that takes all of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice

from tidegate.filtering.automaton import Automaton
from tidegate.filtering.detector import GUARD_CONTEXT, UNANCHORED, Detector, Hit, Match, matcher, worded
from tidegate.filtering.detectors import ENTITIES, rows_of
from tidegate.filtering.encoded import Encoded
from tidegate.filtering.encodings import NOWHERE, first_chain, half_chain
from tidegate.filtering.literal import Literal
from tidegate.filtering.near import Near, Words
from tidegate.filtering.questions import KEY
from tidegate.filtering.ruleset import FilterPlan
from tidegate.filtering.secrets.generic import GENERIC_SECRET

_DIGITS = frozenset(b"0123456789")
_GROUPS = ("sign", "near", "", "spoken", "e-mail")
_WATCHED = {"": "sign", "e-mail": "spoken"}
_ALWAYS, _BEFORE_DIGITS = 1, 2
_BEFORE = bytes(
    _ALWAYS if byte in b"_nrt" else _BEFORE_DIGITS if bytes((byte,)).isalpha() else 0 for byte in range(256)
)
"""By the byte before a value: whether a trigger for it may begin there."""

_FEW = 12
"""Rows with a sign that are looked for all the time rather than put to sleep."""


class Scanner:
    """The compiled detectors of a set of entities. Stateless, and shared between threads and rewriters.

    Rows with a sign, and rows that need words near them, sleep until a sign or a word stands in the view: of text
    without any they cost one search, however many they are.
    """

    def __init__(self, rows: Sequence[Detector]) -> None:
        groups = _grouped(rows)
        # Something that is awake must wait for the beginnings of what sleeps.
        watched = {awake: groups[asleep] for awake, asleep in _WATCHED.items() if {awake, asleep} <= groups.keys()}
        automata = [
            (Near if name == "near" else Automaton)(group, watched.get(name, ())) for name, group in groups.items()
        ]
        sleeping = {"near", *(_WATCHED[name] for name in watched)}
        awake = [automaton for name, automaton in zip(groups, automata, strict=True) if name not in sleeping]
        self._all = automata
        self._awake = awake
        self._wakes = _waking(groups.get("near", []), [row for group in watched.values() for row in group])
        self.cap = max(row.cap for row in rows)
        self.behind = max(GUARD_CONTEXT, *(row.within + 1 for row in rows))

    def look(self, view: bytes, *, within: bool = True, clean: int = 0) -> Look:
        """Begin with a view, and with what is encoded `within` it; in the first `clean` bytes of it nothing is."""
        asleep = self._wakes is not None and self._wakes(UNANCHORED, view, 0, len(view))[0][0] < 0
        begin = first_chain(view, clean) if within else NOWHERE
        return Look(self._awake if asleep else self._all, view, begin, self)

    def sees_nothing(self, view: bytes) -> bool:
        """Whether no value is even proposed in a view as it stands: quicker told than by a look."""
        end = len(view)
        if self._wakes is not None and self._wakes(UNANCHORED, view, 0, end)[0][0] >= 0:
            return False
        for automaton in self._awake:
            if (not automaton.needs or automaton.needs in view) and automaton.first(view, 0, 0, end) < end:
                return False
        return True


def _grouped(rows: Sequence[Detector]) -> dict[str, list[Detector]]:
    """The rows by what they are looked for with, in the order of the table."""
    groups = {name: [row for row in rows if row.group == name] for name in _GROUPS}
    if not groups["near"] and len(groups["sign"]) <= _FEW:
        # So few are no dearer awake, and a search for what wakes them is spared.
        groups[""] = groups.pop("sign") + groups[""]
    return {name: group for name, group in groups.items() if group}


def _waking(near: Sequence[Detector], signs: Sequence[Detector]) -> Match | None:
    """A search for what wakes the sleeping rows; None where there are none."""
    patterns = [worded("|".join(dict.fromkeys(row.near for row in near)))] if near else []
    patterns += dict.fromkeys(row.wake or row.sign for row in signs)
    return matcher("|".join(patterns)) if patterns else None


class Look:
    """A view under the scanner, with what was found ahead and need not be searched again."""

    __slots__ = ("_automata", "_hits", "_inside", "_known", "_scanner", "_view", "_words", "encoded", "literal")

    def __init__(self, automata: Sequence[Automaton], view: bytes, encoded: int, scanner: Scanner) -> None:
        self._automata = automata
        self._scanner = scanner
        self.encoded = encoded
        """Where something encoded begins, if it is asked for at all."""
        self._inside: Encoded | None = None
        self.literal: Literal | None = None
        """The same text as it is written, where that is not what the view has."""
        self._view = view
        self._known = [-1] * len(automata)  # where of each automaton the next value is, or may be
        self._hits: list[Hit | None] = [None] * len(automata)
        self._words: Words | None = None

    def again(self) -> Look:
        """The same view, from the start."""
        return Look(self._automata, self._view, self.encoded, self._scanner)

    def find(self, at: int, hold: int) -> Hit | None:
        """The first value that is decided from `at` on and before `hold`. Nothing behind `hold()` is final."""
        hit = self.plain(at, hold)
        if self.encoded < hold:
            hit = self._within(at).find(at, hold if hit is None else hit.at) or hit
        if self.literal is not None:
            hit = self.literal.find(at, hold if hit is None else hit.at) or hit
        return hit

    def _within(self, begin: int) -> Encoded:
        if self._inside is None:
            self._inside = Encoded(self._view, begin, self._scanner)
        return self._inside

    def plain(self, at: int, hold: int) -> Hit | None:
        """The same where the view as it stands is all that there is."""
        best: Hit | None = None
        for number, found in enumerate(self._known):
            if found < hold and (hit := self._first(number, at, hold)) is not None:
                best, hold = hit, hit.at
        return best

    def _first(self, number: int, at: int, hold: int) -> Hit | None:
        """The first value of one automaton, from `at` on and before `hold`; both never decrease."""
        found = self._known[number]
        if found >= at and (hit := self._hits[number]) is not None:
            return hit
        view, automaton = self._view, self._automata[number]
        end, words = len(view), None
        begins, reached, fresh, questions = automaton.step
        if isinstance(automaton, Near):
            words = self._words = self._words or Words(automaton, view)
            reached = words.first
        start, asked = at, -1
        while True:
            if found < start:
                # Whether a trigger for a value may begin at the byte before it.
                kind = _BEFORE[view[start - 1]] if 0 < start < end else 0
                low = start - 1 if kind and (kind == _ALWAYS or view[start] in _DIGITS) else start
                if low == asked:
                    # What began a byte early was not it: it may have been for this one.
                    found = start
                elif reached is not None:
                    found = reached(view, start, low, end)
                else:
                    found = begins(UNANCHORED, view, low, end)[0][0]
                    if found < start:
                        found = end if found < 0 else start
            if found >= hold:
                self._known[number], self._hits[number] = found, None
                return None
            rows = questions[view[found : found + KEY]]
            hit = rows.hit(view, found) if words is None else rows.hit_of(words.before, view, found)
            if hit is not None:
                if hit.detector.entity == GENERIC_SECRET:
                    hit = self._named(hit)
                self._known[number], self._hits[number] = found, hit
                return hit
            # What was proposed is turned down: where a guard allows the next may be nowhere near.
            asked = found
            ahead = fresh(view, found + 1)
            start = end if ahead is None else ahead.start()

    def _named(self, hit: Hit) -> Hit:
        """The same secret, of the first row that says more of it. Only its own text and what stands before it count."""
        view, (start, end) = self._view, (hit.start, hit.end)
        for automaton in self._automata:
            rows = automaton.step.questions[view[start : min(end, start + KEY)]].rows
            if isinstance(automaton, Near) and rows:
                rows = Words(automaton, view).before(start, rows)
            for row, exact, _, _ in rows:
                match = None if row.entity == GENERIC_SECRET else exact(view, start, end)
                found = row.hit(view, start, match) if match is not None else None
                if found is not None and (found.start, found.end) == (start, end):
                    return hit._replace(detector=row)
        return hit

    def hold(self, start: int) -> int:
        """The leftmost position, from `start`, about which text to come can still change the answer."""
        view = self._view
        at = end = len(view)
        for automaton in self._automata:
            found = automaton.waiting(view, start, end)
            if 0 <= found < at:
                at = found
        if at > start and self.encoded != NOWHERE:
            at = half_chain(view, start, at)
            if at > start and at > self.encoded:
                at = self._within(start).waiting(start, at)
        return at if self.literal is None else min(at, self.literal.hold(start))


_KEPT = 64


@lru_cache(maxsize=_KEPT)
def _scanner(entities: frozenset[str], regions: frozenset[str]) -> Scanner:
    if unknown := entities - ENTITIES:
        raise ValueError(f"no detector for {', '.join(sorted(unknown))}")
    return Scanner(rows_of(entities, regions))


def scanner_for(plan: FilterPlan) -> Scanner | None:
    """The plan's machine, compiled once per set of entities and regions; None when it looks for nothing.

    Raises ValueError when the plan names an entity that the table lacks.
    """
    return _scanner(plan.entities, plan.regions) if plan.actions else None


def compile_ahead(plans: Iterable[FilterPlan]) -> None:
    """Compile what plans look for, so that no text has to wait for that: no more than is kept."""
    wanted = dict.fromkeys(sought for plan in plans for sought in _sought(plan))
    for entities, regions in islice(wanted, _KEPT):
        _scanner(entities, regions)


def _sought(plan: FilterPlan) -> Iterator[tuple[frozenset[str], frozenset[str]]]:
    patterns, _ = plan.stages if plan.spotters else (plan, None)
    for part in patterns.parts:
        for each in (part, *part.stricter.values()) if part is not None else ():
            if each.actions and each.actions.keys() <= ENTITIES:
                yield frozenset(each.actions), each.regions
