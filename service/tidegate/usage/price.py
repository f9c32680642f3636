"""What tokens cost in money. Integers throughout, so a sum is exact, and it is rounded once.

money = ceil(sum of (price of a million tokens of a kind x tokens of that kind) / 1,000,000) + price of the request

in micro-units of the currency. A token that a model counts in its total alone (some count reasoning so) is paid as one
of the completion.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from tidegate.model import Limit, Price
from tidegate.usage.costs import MAX_UNITS, Costs

PER: Final = 1_000_000
"""Prices are for so many tokens."""


def money_of(costs: Costs, price: Price) -> int:
    """What an exchange costs at `price`, micro-units, rounded up. Not cut to anything."""
    prompt = costs.prompt_tokens
    read = min(costs.cache_read_tokens, prompt)
    write = min(costs.cache_write_tokens, prompt - read)
    completion = max(costs.completion_tokens, costs.tokens - prompt)
    parts = (
        price.prompt * (prompt - read - write)
        + price.cache_read * read
        + price.cache_write * write
        + price.completion * completion
    )
    return -(-parts // PER) + price.request


def in_money(costs: Costs, price: Price) -> Costs:
    """`costs` with their money, cut to the largest cost that a limit takes."""
    return replace(costs, money=min(MAX_UNITS, money_of(costs, price)))


def counts_money(limits: Iterable[Limit]) -> bool:
    """Whether any of `limits` counts money."""
    for limit in limits:  # noqa: SIM110 - as in `is_priced`
        if limit.cost == "money":
            return True
    return False
