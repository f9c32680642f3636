"""What an exchange is opened with: the rules for its handoff, and the rewriter for its response."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial

from tidegate.envoy.exchange import Exchange
from tidegate.envoy.handoff import Handoff
from tidegate.errors import UnsupportedBody
from tidegate.filtering.formats import BodyRewriter, Observer, open_body
from tidegate.filtering.ruleset import FilterPlan, merge
from tidegate.filtering.staged import unfindable
from tidegate.filtering.structure.demand import Structure
from tidegate.hash_key import keyed
from tidegate.policy.compiled import Policy
from tidegate.seal_keys import NO_SEALS, SealKeys


class Plans:
    """Handoff → filter plan under the policy in force; the floor applies even to what was admitted before it came.

    What runs goes on under the plan that it began with.
    """

    def __init__(
        self, policy: Callable[[], Policy], *, key: bytes = b"", seals: SealKeys = NO_SEALS, shadow: bool = False
    ) -> None:
        self._policy = policy
        self._key = key
        self._seals = seals
        self._shadow = shadow
        self._made: _Made | None = None

    def __call__(self, handoff: Handoff) -> FilterPlan:
        """Raises `UnsupportedBody` when a ruleset named at Check no longer exists here: unread is withheld."""
        made = self._in_force()
        names = tuple(dict.fromkeys(made.policy.floor_rulesets + handoff.rulesets))
        plan = made.plan(names, handoff.endpoint)
        if not plan.pseudonymous:
            return plan
        caller = {"tenant": handoff.tenant, "subject": handoff.subject, "conversation": handoff.conversation}
        return keyed(plan, self._key, seals=self._seals, **caller)

    def structure(self, handoff: Handoff) -> Structure | None:
        """What is demanded of the answer. Raises `UnsupportedBody` when it was at Check, and nobody here knows it."""
        made = self._in_force()
        if handoff.structured and handoff.endpoint not in made.policy.structures:
            raise UnsupportedBody(f"endpoint {handoff.endpoint!r} is not in the policy in force")
        return made.structure(handoff.endpoint)

    def blank_lines(self, handoff: Handoff) -> bool:
        """Whether the clients of its endpoint pass over empty lines."""
        return handoff.endpoint in self._policy().blank_lines

    def _in_force(self) -> _Made:
        policy, made = self._policy(), self._made
        if made is None or made.policy is not policy:
            made = self._made = _Made(policy, shadow=self._shadow)
        return made


class _Made:
    """What was made of one policy, and goes with it: two of one version may differ in secrets."""

    def __init__(self, policy: Policy, *, shadow: bool) -> None:
        self.policy = policy
        self.plan = lru_cache(maxsize=1024)(partial(_plan, policy, shadow))
        self.structure = lru_cache(maxsize=1024)(partial(_structure, policy, shadow))


def _plan(policy: Policy, shadow: bool, names: tuple[str, ...], endpoint: str) -> FilterPlan:
    unknown = [name for name in names if name not in policy.rulesets]
    if unknown:
        raise UnsupportedBody(f"rulesets {unknown} are not in the policy in force")
    plan = _merged(policy, names, endpoint)
    if lacking := unfindable(plan):
        raise UnsupportedBody(f"nothing finds {', '.join(sorted(lacking))} on endpoint {endpoint!r}")
    return plan.in_shadow() if shadow else plan


def _structure(policy: Policy, shadow: bool, endpoint: str) -> Structure | None:
    demand = policy.structures.get(endpoint)
    return demand.in_shadow() if demand is not None and shadow else demand


def _merged(policy: Policy, names: Iterable[str], endpoint: str) -> FilterPlan:
    return merge(
        (policy.rulesets[name] for name in names),
        policy.selection_of(endpoint),
        policy.spotters_of(endpoint),
        policy.allowed_of(endpoint),
    )


def plans_of(policy: Policy, *, shadow: bool = False) -> Iterator[FilterPlan]:
    """All that exchanges may need under a policy: for the answers of each endpoint by tier, and for its prompts."""
    asked = {(names, endpoint) for (endpoint, _), names in policy.passes.items()}
    for names, endpoint in sorted(asked):
        plan = _merged(policy, names, endpoint)
        yield plan.in_shadow() if shadow else plan
    for one in policy.endpoints:
        if one.request is not None:
            yield merge(one.request.rules, None, policy.spotters_of(one.name), policy.allowed_of(one.name))


def exchanges(
    policy: Callable[[], Policy], key: bytes, *, seals: SealKeys = NO_SEALS, shadow: bool = False
) -> Callable[[], Exchange]:
    """Makes exchanges under the policy in force; in `shadow` nothing is changed.

    `key` keys hashes and pseudonyms, and `seals` those that lead back.
    """
    plans = Plans(policy, key=key, seals=seals, shadow=shadow)

    def open_for(kind: str, plan: FilterPlan, cap: int, observer: Observer | None) -> BodyRewriter | None:
        return open_body(kind, plan, key=key, max_bytes=cap, observer=observer)

    return lambda: Exchange(plans, open_for, structure=plans.structure, blank_lines=plans.blank_lines)
