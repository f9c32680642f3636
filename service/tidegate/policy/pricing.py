"""Whether all that a limit in money can reach has a price: what has none would be free, or refused, by accident."""

from __future__ import annotations

from collections.abc import Iterator

from tidegate.policy.document import Path
from tidegate.policy.endpoints import Endpoint
from tidegate.policy.limits import Limits
from tidegate.policy.prices import Prices
from tidegate.policy.schema import Document
from tidegate.policy.tenants import Tenant
from tidegate.policy.validate import Report, suggestion

_Placed = tuple[Path, Limits]


def check_prices(document: Document, report: Report) -> None:
    """Report limits in money without prices, models without one that such a limit can reach, and prices of no model."""
    if not report.whole:
        return
    prices = document.prices
    if prices is None:
        for path, limits in _all_limits(document):
            for index, limit in enumerate(limits):
                if limit.cost == "money":
                    report.at((*path, index, "cost"), "needs `prices`: without them nothing has a cost in money")
        return
    for name, endpoint in document.endpoints.items():
        _check_endpoint(name, endpoint, prices, document, report)
    offered = {
        model for e in document.endpoints.values() if e.model for some in e.model.allowed.values() for model in some
    }
    for model in prices.models:
        if model not in offered and "*" not in offered:
            message = f"no endpoint allows model {model!r}{suggestion(model, offered)}"
            report.at(("prices", "models", model), message, key=True)


def limits_of_tenant(name: str, tenant: Tenant) -> Iterator[_Placed]:
    """The lists of limits that a tenant has, with their places: its own, then those of its subjects."""
    yield ("tenants", name, "limits"), tenant.limits
    for subject, own in tenant.subjects.items():
        yield ("tenants", name, "subjects", subject, "limits"), own.limits


def _all_limits(document: Document) -> Iterator[_Placed]:
    yield ("platform", "floor", "limits"), document.platform.floor.limits
    for name, tier in document.tiers.items():
        yield ("tiers", name, "limits"), tier.limits
    for name, tenant in document.tenants.items():
        yield from limits_of_tenant(name, tenant)
    for name, endpoint in document.endpoints.items():
        yield ("endpoints", name, "limits"), endpoint.limits


def _check_endpoint(name: str, endpoint: Endpoint, prices: Prices, document: Document, report: Report) -> None:
    everywhere = (
        _in_money(document.platform.floor.limits) or _in_money(endpoint.limits) or _of_tenants(document, endpoint)
    )
    by_tier = {tier: everywhere or _in_money(document.tiers[tier].limits) for tier in document.tiers}
    if prices.default is not None:
        return
    if endpoint.model is None:
        limit = everywhere or next(filter(None, by_tier.values()), "")
        if limit:
            message = f"names no model, and limit {limit!r} counts money: give prices.default"
            report.at(("endpoints", name), message, key=True)
        return
    for tier, models in endpoint.model.allowed.items():
        limit = by_tier.get(tier, everywhere)
        if not limit:
            continue
        path: Path = ("endpoints", name, "model", "allowed", tier)
        if models == "*":
            report.at(path, f'"*" allows models without a price, and limit {limit!r} counts money: give prices.default')
            continue
        for index, model in enumerate(models):
            if model not in prices.models:
                message = f"model {model!r} has no price, and limit {limit!r} counts money: add it to prices.models"
                report.at((*path, index), message)


def _of_tenants(document: Document, endpoint: Endpoint) -> str:
    shared = endpoint.shared_with or ()
    reach = document.tenants if shared == "*" else (endpoint.owner, *shared)
    for name in reach:
        if name in document.tenants:
            for _, limits in limits_of_tenant(name, document.tenants[name]):
                if limit := _in_money(limits):
                    return limit
    return ""


def _in_money(limits: Limits) -> str:
    """The name of the first limit that counts money, or ""."""
    return next((limit.name for limit in limits if limit.cost == "money"), "")
