"""What to look for and what to do with it: rules, rulesets, and their merge into one plan for a response."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType

from tidegate.filtering.selection import Selection
from tidegate.filtering.witness import Witness


class Action(IntEnum):
    """What happens to a detected value. Ordered by strictness: a merge keeps the strictest."""

    MASK = 1
    HASH = 2
    REDACT = 3
    DROP = 4
    BLOCK = 5

    @property
    def label(self) -> str:
        """The word used in policies, metrics and receipts."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Rule:
    """Entities (names of the detector table) and the one action for them."""

    entities: frozenset[str]
    action: Action


@dataclass(frozen=True, slots=True)
class Ruleset:
    """A named list of rules."""

    name: str
    rules: tuple[Rule, ...]


@dataclass(frozen=True)
class FilterPlan:
    """The one thing a rewriter needs: entity → action, and in which fields of JSON (None: in all of them).

    Hashable by identity, so compiled machinery can be cached. `witness` is told of every value, where somebody tries a
    policy.
    """

    actions: Mapping[str, Action]
    selection: Selection | None = None
    witness: Witness | None = None

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other


def merge(rulesets: Iterable[Ruleset], selection: Selection | None = None) -> FilterPlan:
    """Union of rulesets; where two name the same entity the stricter action stands."""
    actions: dict[str, Action] = {}
    for ruleset in rulesets:
        for rule in ruleset.rules:
            for entity in rule.entities:
                actions[entity] = max(rule.action, actions.get(entity, rule.action))
    return FilterPlan(MappingProxyType(actions), selection)
