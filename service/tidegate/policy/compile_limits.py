"""Limits and prices of a document to those that requests are charged by."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from tidegate.admission.periods import NOMINAL
from tidegate.model import Limit, Price
from tidegate.policy import (
    compiled,
    limits,
    prices,
)


def limits_of(scope: str, listed: limits.Limits, currency: str) -> tuple[Limit, ...]:
    """The limits of a scope ("platform", "tier:free"); `currency` is what those count in that count money."""
    return tuple(_limit(scope, limit, currency) for limit in listed)


def _limit(scope: str, limit: limits.AnyLimit, currency: str) -> Limit:
    match limit:
        case limits.TokenBucket(capacity=capacity, refill=(refill, period)):
            made = Limit(scope, limit.name, limit.algorithm, capacity, period, refill)
        case limits.Quota(limit=capacity, period=resets, time_zone=time_zone):
            period = NOMINAL[resets]
            made = Limit(scope, limit.name, limit.algorithm, capacity, period, resets=resets, time_zone=time_zone)
        case (
            limits.SlidingWindow(limit=capacity, window=period)
            | limits.SlidingWindowCounter(limit=capacity, window=period)
            | limits.Concurrency(limit=capacity, lease=period)
        ):
            made = Limit(scope, limit.name, limit.algorithm, capacity, period)
    of_money = currency if limit.cost == "money" else ""
    return replace(made, per=tuple(limit.per), cost=limit.cost, shadow=limit.shadow, currency=of_money)


def prices_of(listed: prices.Prices) -> compiled.Prices:
    """What models cost. Tokens of a prompt cache cost what others do, where the document says nothing of them."""
    models = MappingProxyType({name: _price(price) for name, price in listed.models.items()})
    return compiled.Prices(listed.currency, models, None if listed.default is None else _price(listed.default))


def _price(price: prices.ModelPrice) -> Price:
    read, write = (price.prompt if own is None else own for own in (price.cache_read, price.cache_write))
    return Price(price.prompt, price.completion, read, write, price.request)
