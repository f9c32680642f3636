"""What to look for and what to do with it: rules, rulesets, and their merge into one plan for a response."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import cached_property
from types import MappingProxyType

from tidegate.filtering.allow_list import Allowed
from tidegate.filtering.canonical import constant
from tidegate.filtering.pseudonyms import BRIEF, Pseudonym, ScopeKeys, stand_in
from tidegate.filtering.selection import Selection
from tidegate.filtering.spotting import Effort, Spotter
from tidegate.filtering.witness import Witness


class Action(IntEnum):
    """What happens to a detected value. Ordered by strictness: a merge keeps the strictest."""

    ANNOTATE = 1
    MASK = 2
    HASH = 3
    PSEUDONYMIZE = 4
    REDACT = 5
    DROP = 6
    BLOCK = 7

    @property
    def label(self) -> str:
        """The word used in policies, metrics and receipts."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Rule:
    """Entities (names of the detector table) and the one action for them. `pseudonym` is for PSEUDONYMIZE alone.

    `regions` are those whose national telephone numbers are a `PHONE` (`tidegate.filtering.phones`).
    """

    entities: frozenset[str]
    action: Action
    pseudonym: Pseudonym = BRIEF
    regions: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Ruleset:
    """A named list of rules."""

    name: str
    rules: tuple[Rule, ...]


@dataclass(frozen=True)
class FilterPlan:
    """The one thing a rewriter needs: entity → action, and in which fields of JSON (None: in all of them).

    Hashable by identity, so compiled machinery can be cached. `witness` is told of every value, where somebody tries a
    policy. `pseudonyms` are of the entities that get one, and `keys` those of the exchange that the plan is for:
    without any, no two values are told apart. `spotters` find what no pattern does, and values that are
    `allowed` stay as they are. `regions` are those whose telephone numbers are known without a country code.
    """

    actions: Mapping[str, Action]
    selection: Selection | None = None
    witness: Witness | None = None
    pseudonyms: Mapping[str, Pseudonym] = field(default_factory=lambda: MappingProxyType({}))
    keys: ScopeKeys | None = None
    spotters: tuple[Spotter, ...] = ()
    allowed: Allowed | None = None
    regions: frozenset[str] = frozenset()

    __hash__ = object.__hash__

    @cached_property
    def entities(self) -> frozenset[str]:
        """What it looks for."""
        return frozenset(self.actions)

    @cached_property
    def shadow(self) -> bool:
        """Whether no text is changed by it."""
        return all(action is Action.ANNOTATE for action in self.actions.values())

    @cached_property
    def pseudonymous(self) -> bool:
        """Whether it needs keys of the exchange."""
        return Action.PSEUDONYMIZE in self.actions.values()

    @cached_property
    def reversible(self) -> bool:
        """Whether some of its pseudonyms lead back."""
        return any(pseudonym.reversible for pseudonym in self.pseudonyms.values())

    @cached_property
    def parts(self) -> tuple[FilterPlan, FilterPlan | None]:
        """What is enforced, and what is only looked for.

        Each reads the text by itself: a value that is let stand must not hide one inside of it that must not leave.
        """
        watched = {entity: action for entity, action in self.actions.items() if action is Action.ANNOTATE}
        if not watched:
            return self, None
        enforced = {entity: action for entity, action in self.actions.items() if action is not Action.ANNOTATE}
        return replace(self, actions=enforced), replace(self, actions=watched)

    @cached_property
    def strictest(self) -> Action:
        """The strictest action."""
        return max(self.actions.values(), default=Action.ANNOTATE)

    @cached_property
    def instead(self) -> Mapping[str, str]:
        """What stands for the values of an entity, whatever they are and whatever begins inside of them."""
        if self.strictest is not Action.REDACT or self.witness is not None or self.allowed is not None:
            return MappingProxyType({})
        return {entity: constant(entity) for entity, action in self.actions.items() if action is Action.REDACT}

    @cached_property
    def stricter(self) -> Mapping[Action, FilterPlan]:
        """For each action that is not the strictest, what is treated more strictly."""
        acts = sorted(set(self.actions.values()))
        return {
            act: replace(self, actions={entity: other for entity, other in self.actions.items() if other > act})
            for act in acts[:-1]
        }

    @cached_property
    def stages(self) -> tuple[FilterPlan, FilterPlan]:
        """What is left to the patterns, and what to the spotters."""
        spotted = frozenset[str]().union(*(spotter.entities for spotter in self.spotters))
        first = {entity: action for entity, action in self.actions.items() if entity not in spotted}
        second = {entity: action for entity, action in self.actions.items() if entity in spotted}
        return replace(self, actions=first, spotters=()), replace(self, actions=second)

    @cached_property
    def effort(self) -> Effort:
        """What it takes to read a text."""
        return max((spotter.effort for spotter in self.spotters), default=Effort.QUICK)

    def stand_in(self, entity: str, value: str) -> str:
        """The pseudonym of a value."""
        return stand_in(self.pseudonyms.get(entity, BRIEF), entity, value, self.keys, self.regions)

    def spotting(self, spotters: Iterable[Spotter]) -> FilterPlan:
        """The same with these spotters; itself, where they are its own."""
        given = tuple(spotters)
        return self if given == self.spotters else replace(self, spotters=given)

    def under(self, keys: ScopeKeys) -> FilterPlan:
        """The same, for one exchange."""
        return replace(self, keys=keys)

    def in_shadow(self) -> FilterPlan:
        """The same, with nothing done to what is found."""
        return replace(self, actions=dict.fromkeys(self.actions, Action.ANNOTATE))

    def __eq__(self, other: object) -> bool:
        return self is other


def merge(
    rulesets: Iterable[Ruleset],
    selection: Selection | None = None,
    spotters: Iterable[Spotter] = (),
    allowed: Allowed | None = None,
) -> FilterPlan:
    """Union of rulesets and of their regions; of one entity the stricter action stands, and the stricter pseudonym.

    Of the `spotters` those are taken whose entities are named.
    """
    actions: dict[str, Action] = {}
    pseudonyms: dict[str, Pseudonym] = {}
    regions: set[str] = set()
    for ruleset in rulesets:
        for rule in ruleset.rules:
            regions |= rule.regions
            for entity in rule.entities:
                actions[entity] = max(rule.action, actions.get(entity, rule.action))
                if rule.action is Action.PSEUDONYMIZE:
                    pseudonyms[entity] = rule.pseudonym.strictest(pseudonyms.get(entity, rule.pseudonym))
    chosen = {entity: how for entity, how in pseudonyms.items() if actions[entity] is Action.PSEUDONYMIZE}
    asked = tuple(spotter for spotter in spotters if spotter.entities & actions.keys())
    return FilterPlan(
        MappingProxyType(actions),
        selection,
        pseudonyms=MappingProxyType(chosen),
        spotters=asked,
        allowed=allowed,
        regions=frozenset(regions),
    )
