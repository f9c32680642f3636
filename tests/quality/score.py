"""What is found in labelled texts, counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from tidegate.filtering.detectors import ENTITIES
from tidegate.filtering.ruleset import Action, FilterPlan
from tidegate.filtering.staged import rewriting
from tidegate.filtering.witness import Found

from tests.quality.corpus import Labelled, Value

Find = Callable[[str], Sequence[Value]]
SHARE: Final = 10_000
"""Characters that a rate of false positives is told for."""


@dataclass
class Score:
    """One kind of value: labelled values that were `found` whole, or `named` another kind and found whole, of all that
    were `labelled`; marks that were `right`, and `wrong` ones, which touch no labelled value of any kind."""

    labelled: int = 0
    found: int = 0
    named: int = 0
    right: int = 0
    wrong: int = 0

    @property
    def precision(self) -> float:
        """Of what was marked, the share that was right; 1.0 where nothing was marked."""
        return self.right / (self.right + self.wrong) if self.right + self.wrong else 1.0

    @property
    def recall(self) -> float:
        """Of what was labelled, the share that was found under its name; 1.0 where nothing was labelled."""
        return self.found / self.labelled if self.labelled else 1.0

    @property
    def f1(self) -> float:
        """The harmonic mean of both."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


@dataclass
class Report:
    """Scores by kind, over so many characters. `missed` and `wrong` are examples for who mends a detector."""

    characters: int = 0
    scores: dict[str, Score] = field(default_factory=dict)
    missed: list[tuple[str, str]] = field(default_factory=list)
    wrong: list[tuple[str, str]] = field(default_factory=list)

    def of(self, entity: str) -> Score:
        """The score of a kind."""
        return self.scores.setdefault(entity, Score())

    def false_positives(self, entities: Iterable[str] | None = None) -> float:
        """Wrong marks of these kinds, or of all, in 10,000 characters."""
        chosen = self.scores if entities is None else entities
        wrong = sum(self.scores[entity].wrong for entity in chosen if entity in self.scores)
        return wrong * SHARE / self.characters if self.characters else 0.0

    def total(self, entities: Iterable[str]) -> Score:
        """Several kinds as one."""
        sums: Counter[str] = Counter()
        for entity in entities:
            sums.update(vars(self.of(entity)))
        return Score(**sums)


def measure(texts: Iterable[Labelled], find: Find, entities: frozenset[str] = ENTITIES) -> Report:
    """What `find` makes of the texts; labels of other kinds than `entities` count for nothing but a mark upon them."""
    report = Report()
    for text, values in texts:
        report.characters += len(text)
        marks = sorted(find(text))
        for value in values:
            if value.entity in entities:
                _count_value(report, text, value, marks)
        for mark in marks:
            touched = [value for value in values if value.start < mark.end and mark.start < value.end]
            score = report.of(mark.entity)
            if any(value.entity == mark.entity for value in touched):
                score.right += 1
            elif not touched:
                score.wrong += 1
                report.wrong.append((mark.entity, text[max(0, mark.start - 40) : mark.end + 10]))
    return report


def _count_value(report: Report, text: str, value: Value, marks: Sequence[Value]) -> None:
    score = report.of(value.entity)
    score.labelled += 1
    if _covered(value, [mark for mark in marks if mark.entity == value.entity]):
        score.found += 1
    elif _covered(value, marks):
        score.named += 1
    else:
        report.missed.append((value.entity, text[max(0, value.start - 50) : value.end + 10]))


def _covered(value: Value, marks: Sequence[Value]) -> bool:
    """Whether no character of it is left: marks are in order."""
    at = value.start
    for mark in marks:
        if mark.start <= at < mark.end:
            at = mark.end
    return at >= value.end


class _Marks:
    """Notes what a plan finds in one text."""

    waiting = False

    def __init__(self) -> None:
        self.marks: list[Value] = []

    def found(self, found: Found) -> str:
        self.marks.append(Value(found.start, found.start + len(found.value), found.entity))
        return found.instead or ""

    def placed(self, path: tuple[str | int, ...], where: str) -> None:
        return None


def patterns(entities: Iterable[str] = ENTITIES, regions: Iterable[str] = ()) -> Find:
    """All that the pattern table finds, redacting as a policy would, and telephone numbers of the regions."""
    actions: Mapping[str, Action] = dict.fromkeys(entities, Action.REDACT)
    return found_by(FilterPlan(actions, regions=frozenset(regions)))


def found_by(plan: FilterPlan) -> Find:
    """All that a plan finds."""
    witness = _Marks()
    plan = replace(plan, witness=witness)

    def find(text: str) -> Sequence[Value]:
        witness.marks = []
        rewriter = rewriting(plan)
        rewriter.feed(text)
        rewriter.finish()
        return witness.marks

    return find
