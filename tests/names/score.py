"""Precision and recall of spans."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from tests.quality.corpus import Value


@dataclass
class Score:
    """Spans that are wanted, found, and both: exactly (`exact`), or by at least one character."""

    wanted: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    exact: Counter[str] = field(default_factory=Counter)
    near_found: Counter[str] = field(default_factory=Counter)
    near_wanted: Counter[str] = field(default_factory=Counter)

    def add(self, wanted: Collection[Value], found: Collection[Value]) -> None:
        """One text's."""
        self.wanted.update(span.entity for span in wanted)
        self.found.update(span.entity for span in found)
        self.exact.update(span.entity for span in set(wanted) & set(found))
        self.near_found.update(one.entity for one in found if any(map(one_touches(one), wanted)))
        self.near_wanted.update(one.entity for one in wanted if any(map(one_touches(one), found)))

    def precision(self, entity: str, *, near: bool = False) -> float:
        """Of what was found, how much was wanted."""
        return (self.near_found if near else self.exact)[entity] / max(1, self.found[entity])

    def recall(self, entity: str, *, near: bool = False) -> float:
        """Of what was wanted, how much was found."""
        return (self.near_wanted if near else self.exact)[entity] / max(1, self.wanted[entity])

    def f1(self, entity: str, *, near: bool = False) -> float:
        """Their harmonic mean."""
        precision, recall = self.precision(entity, near=near), self.recall(entity, near=near)
        return 2 * precision * recall / max(1e-9, precision + recall)


def one_touches(one: Value) -> Callable[[Value], bool]:
    """Whether a span of the same kind shares a character with this one."""
    return lambda other: other.entity == one.entity and other.start < one.end and one.start < other.end
