"""What becomes of the values that are found in one text: what stands for each, what is counted, told, and let stand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from tidegate.filtering import actions
from tidegate.filtering.allow_list import Allowed
from tidegate.filtering.canonical import constant
from tidegate.filtering.detector import Detector, Hit
from tidegate.filtering.held import Held
from tidegate.filtering.ruleset import Action, FilterPlan
from tidegate.filtering.witness import Found
from tidegate.model import Finding


class Replacing:
    """The actions of a plan, applied to the values of one text, `held` as far as it is not released.

    `counts` are of the entities. `finds(plan, value)` says whether a value holds another. `where` is the field path
    that a finding carries, and `aside` how many characters of the held text stand before the text itself.
    """

    def __init__(
        self,
        plan: FilterPlan,
        held: Held,
        finds: Callable[[FilterPlan, str], bool],
        *,
        key: bytes,
        where: str,
        aside: int = 0,
    ) -> None:
        self._plan = plan
        self._actions = plan.actions
        self._allowed = plan.allowed
        self._witness = plan.witness
        self._held = held
        self._finds = finds
        self._others: dict[str, FilterPlan] = {}  # the plan without an entity, where that was asked for
        self._key = key
        self._where = where
        self._aside = aside
        self.counts: dict[str, int] = {}

    @property
    def findings(self) -> Mapping[tuple[str, str], int]:
        """How often each entity was found, by entity and action."""
        return {(entity, self._actions[entity].label): count for entity, count in self.counts.items()}

    def instead(self, hit: Hit, start: int, end: int, *, over: bool) -> str | Finding:
        """What stands for the held text from `start` to `end`, of which `hit` is the worst; a finding ends the text.

        `over` says that the value goes on behind `end`.
        """
        held, row = self._held, hit.detector
        entity, text = row.entity, held.text[start:end]
        if self._allowed is not None and not over and self._stays(self._allowed, hit, text, start, end):
            return text
        action = self._actions[entity]
        self.counts[entity] = self.counts.get(entity, 0) + 1
        if action is Action.BLOCK:
            self._tell(row, start, text, "")
            return Finding(entity, action.label, self._where)
        if over or hit.over or action is Action.REDACT:
            new = constant(entity)
        else:
            found = hit.value or held.text[held.start(hit.start) : held.end(hit.end)]
            if action is Action.PSEUDONYMIZE:
                new = self._plan.stand_in(entity, found)
            else:
                new = actions.replacement(action, entity, found, self._key, self._plan.regions)
        return new if self._witness is None else self._tell(row, start, text, new)

    def _stays(self, allowed: Allowed, hit: Hit, text: str, start: int, end: int) -> bool:
        """Whether the text from `start` to `end` is one value, and is to be left as it is.

        An address of a domain that is allowed may have been made up around another value, which must not leave in it.
        """
        entity = hit.detector.entity
        whole = (self._held.start(hit.start), self._held.end(hit.end)) == (start, end)
        if not whole or not allowed.covers(entity, text):
            return False
        return allowed.lists(entity, text) or not self._holds_another(entity, text)

    def _holds_another(self, entity: str, value: str) -> bool:
        """Whether a value of one entity holds a value of another that does not stay."""
        if entity not in self._others:
            others = {other: action for other, action in self._actions.items() if other != entity}
            self._others[entity] = replace(self._plan, actions=others, witness=None)
        return self._finds(self._others[entity], value)

    def _tell(self, found: Detector, start: int, value: str, instead: str) -> str:
        if self._witness is None:
            return instead
        action = self._actions[found.entity]
        new = None if action is Action.ANNOTATE else instead
        place = self._held.gone + start - self._aside
        return self._witness.found(Found(found.entity, found.name, action.label, self._where, place, value, new))
