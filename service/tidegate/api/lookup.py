"""What a caller names, found in the policy: the rulesets of a text and the limits of a charge."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tidegate.admission.charges import ATTRIBUTES
from tidegate.api.faults import InvalidCall
from tidegate.filtering.allow_list import Allowed
from tidegate.filtering.ruleset import FilterPlan, merge
from tidegate.filtering.selection import Selection
from tidegate.filtering.spotting import Spotter
from tidegate.filtering.staged import unfindable
from tidegate.model import Limit
from tidegate.policy.compiled import Endpoint, Policy

_SAID = ATTRIBUTES - {"endpoint", "scope"}  # the endpoint has a field of its own, and says which scopes it asks for
_MAX_PLANS = 256
_SHOWN = 64  # characters of a caller's word that an answer repeats


_Sought = tuple[frozenset[str], Selection | None, tuple[Spotter, ...], Allowed | None]


class Plans:
    """Merged rulesets of one policy, kept so that the machinery compiled for a plan is found again."""

    def __init__(self, *, shadow: bool = False) -> None:
        self._shadow = shadow
        self._policy: Policy | None = None
        self._plans: dict[_Sought, FilterPlan] = {}

    def plan(self, policy: Policy, names: Iterable[str], endpoint: str = "") -> FilterPlan:
        """The plan of these rulesets, all of which `policy` has, for the fields that the endpoint chooses, if one.

        Raises `InvalidCall` when they look for what only an endpoint has.
        """
        if self._policy is not policy or len(self._plans) >= _MAX_PLANS:
            self._policy, self._plans = policy, {}
        sought = (
            frozenset(names),
            policy.selection_of(endpoint),
            policy.spotters_of(endpoint),
            policy.allowed_of(endpoint),
        )
        plan = self._plans.get(sought)
        if plan is None:
            chosen, selection, spotters, allowed = sought
            plan = merge((policy.rulesets[name] for name in sorted(chosen)), selection, spotters, allowed)
            if lacking := unfindable(plan):
                raise InvalidCall(f"name an endpoint: {', '.join(sorted(lacking))} is looked for in its texts alone")
            plan = self._plans[sought] = plan.in_shadow() if self._shadow else plan
        return plan


def rulesets_of(policy: Policy, *, rulesets: Iterable[str], endpoint: str, tier: str) -> tuple[str, ...]:
    """Names of the rulesets that were asked for, by name or by endpoint and tier; the platform's floor is among them.

    Raises `InvalidCall` for a name that the policy does not have, and when nothing, or both ways, was asked for.
    """
    named = tuple(rulesets)
    if bool(named) == bool(endpoint or tier):
        raise InvalidCall("name either rulesets, or an endpoint and a tier")
    if named:
        for name in named:
            if name not in policy.rulesets:
                raise InvalidCall(f"unknown ruleset {_shown(name)}")
        return tuple(dict.fromkeys((*policy.floor_rulesets, *named)))
    _endpoint(policy, endpoint)
    if tier not in policy.tiers:
        raise InvalidCall(f"unknown tier {_shown(tier)}")
    return policy.passes[endpoint, tier]


def limits_of(policy: Policy, attributes: Mapping[str, str], endpoint: str) -> tuple[Limit, ...]:
    """Every limit that applies: platform, tier, tenant, subject, endpoint.

    Raises `InvalidCall` for names that the policy does not have, unknown attributes, and attributes that are missing
    although a limit counts by them, or is chosen by them: counting all their callers as one would be wrong either way.
    """
    for name in attributes:
        if name not in _SAID:
            raise InvalidCall(f"unknown attribute {_shown(name)}")
    tier, tenant = attributes.get("tier", ""), attributes.get("tenant", "")
    if tier not in policy.tiers:
        raise InvalidCall(f"unknown tier {_shown(tier)}")
    if tenant not in policy.tenants:
        raise InvalidCall(f"unknown tenant {_shown(tenant)}")
    if policy.tenants[tenant].subjects and "subject" not in attributes:
        raise InvalidCall(f"tenant {_shown(tenant)} has limits of single subjects, and 'subject' is missing")
    limits = policy.limits_of(tenant, tier, attributes.get("subject", "")) + _endpoint(policy, endpoint).limits
    for limit in limits:
        for name in limit.per:
            if name in _SAID and name not in attributes:
                raise InvalidCall(f"limit '{limit.name}' of {limit.scope} counts by '{name}', which is missing")
    return limits


def attributes_of(policy: Policy, attributes: Mapping[str, str], endpoint: str) -> Mapping[str, str]:
    """What the caller says, and what the endpoint says itself. Raises `InvalidCall`."""
    return {**attributes, "endpoint": endpoint, "scope": _endpoint(policy, endpoint).scope}


def _endpoint(policy: Policy, name: str) -> Endpoint:
    for endpoint in policy.endpoints:
        if endpoint.name == name:
            return endpoint
    raise InvalidCall(f"unknown endpoint {_shown(name)}")


def _shown(name: str) -> str:
    return ascii(name if len(name) <= _SHOWN else name[:_SHOWN] + "...")
