"""What a request asks of limits and of its endpoint's capacity, and the refusals that this may come to."""

from __future__ import annotations

import math
from collections.abc import Mapping

from tidegate.admission.queue.terms import Capacity, Demand, Overload
from tidegate.authorization import Access
from tidegate.model import (
    Admission,
    Deny,
    Identity,
    Price,
    Reason,
    Request,
    exceeded,
)
from tidegate.outward import retry_after
from tidegate.policy.compiled import Policy
from tidegate.usage.costs import Costs, is_priced
from tidegate.usage.estimate import DEFAULT_COMPLETION, costs_of
from tidegate.usage.price import counts_money, in_money


def attributes_of(request: Request, identity: Identity, access: Access) -> Mapping[str, str]:
    """What a limit may count by (`tidegate.admission.charges.ATTRIBUTES`).

    A token is no API key: whoever gets himself a new one would have a limit of his own for each.
    """
    return {
        "tenant": identity.tenant,
        "subject": identity.subject,
        "client_id": identity.client_id,
        "tier": identity.tier,
        "scope": access.endpoint.scope,
        "model": access.model,
        "endpoint": access.endpoint.name,
        "client_ip": request.client_ip,
        "api_key": identity.credential if identity.method == "api_key" else "",
        "method": request.method,
    }


def costs_asked(request: Request, access: Access, capacity: Capacity | None, price: Price | None) -> Costs | Deny:
    """The estimate where something is priced by it. A limit must know the body, for a share a guess will do."""
    if is_priced(access.limits):
        costs = costs_of(request)
        if isinstance(costs, Deny) or not counts_money(access.limits):
            return costs
        return _unpriced(access.model) if price is None else in_money(costs, price)
    if capacity is None or capacity.cost == "requests":
        return Costs()
    costs = costs_of(request)
    return Costs(tokens=DEFAULT_COMPLETION) if isinstance(costs, Deny) else costs


def demand_of(policy: Policy, identity: Identity, capacity: Capacity, costs: Costs) -> Demand:
    """What an exchange asks of its endpoint's capacity: in whose name, how urgent, and how much."""
    tier, tenant = policy.tiers[identity.tier], policy.tenants[identity.tenant]
    cost = costs.tokens if capacity.cost == "tokens" else 1
    return Demand(identity.tenant, tier.priority, tenant.weight or tier.weight, max(1, cost))


def refusal_of(admission: Admission) -> Deny | None:
    """The refusal that an admission comes to; None where everything was taken."""
    if admission.refused is None:
        return None
    name = admission.refused.limit.name
    message = (
        f"The request is larger than limit '{name}' allows."
        if math.isinf(admission.refused.retry_after)
        else f"Limit '{name}' is exhausted."
    )
    violated = tuple(dict.fromkeys(limit.name for limit in exceeded(admission)))
    headers = retry_after(admission.refused)
    return Deny(429, Reason.LIMIT_EXCEEDED, message, headers, detail=name, violated=violated)


def overloaded(overload: Overload, demand: Demand) -> Deny:
    """The refusal of a demand that got no place."""
    wait = str(math.ceil(overload.retry_after))
    detail = f"{demand.priority}, {overload.why}"
    return Deny(503, Reason.OVERLOADED, "The model is busy. Try again later.", (("retry-after", wait),), detail)


def _unpriced(model: str) -> Deny:
    """A policy that was loaded has a price wherever a limit counts money; what has none is not free."""
    detail = f"model {model!r} has no price"
    return Deny(403, Reason.MODEL_NOT_ALLOWED, "The model has no price here.", detail=detail)
