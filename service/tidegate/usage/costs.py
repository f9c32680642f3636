"""The cost of one exchange in every unit that a limit may be priced in, and which limits need more than a count."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from tidegate.model import Limit
from tidegate.policy.compiled import Endpoint, Policy

MAX_UNITS: Final = 2**40
"""No cost is larger: an estimate is cut to it, a usage beyond it is not believed. Units."""
BYTES_PER_TOKEN: Final = 4
"""UTF-8 bytes that count as one token where nobody counted tokens. About right for English, dear for other scripts."""
HOLD: Final = 600.0
"""How long a reservation can still be settled; afterwards what was reserved stands. Leases have times of their own.
Seconds."""


@dataclass(frozen=True, slots=True)
class Costs:
    """One exchange in each unit. `tokens` is at least prompt + completion; a model may count more (reasoning).

    `cache_read_tokens` and `cache_write_tokens` are no units, but the parts of `prompt_tokens` that have a price of
    their own. `money` is for `price.in_money` to fill in.
    """

    requests: int = 1
    request_bytes: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    tokens: int = 0
    money: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0

    def as_mapping(self) -> Mapping[str, int]:
        """Unit (a value of `Limit.cost`) → cost."""
        return {
            "requests": self.requests,
            "request_bytes": self.request_bytes,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "tokens": self.tokens,
            "money": self.money,
        }


def tokens_of(size: int) -> int:
    """The tokens that `size` bytes of text count as, rounded up."""
    return -(-size // BYTES_PER_TOKEN)


def is_priced(limits: Iterable[Limit]) -> bool:
    """Whether any of `limits` costs something other than one for each request."""
    for limit in limits:  # noqa: SIM110 - a generator would cost each decision three times as much
        if limit.cost != "requests":
            return True
    return False


def hold_seconds(limits: Iterable[Limit]) -> float | None:
    """How long a reservation on `limits` is held: None when none of them has anything to settle, or to give back.

    At least as long as the leases last, and no less where there is nothing else: one that lapsed is taken again by a
    late renewal.
    """
    held = None
    for limit in limits:
        if limit.algorithm == "concurrency":
            held = max(HOLD, limit.period, held or 0.0)
        elif limit.cost != "requests" and held is None:
            held = HOLD
    return held


def needs_body(policy: Policy, endpoint: Endpoint) -> bool:
    """Whether a limit that may apply to `endpoint` is priced by what the request body says.

    Floor and tier limits may apply anywhere, those of a tenant and its subjects where it owns or was lent the
    endpoint.
    """
    if is_priced(policy.floor_limits) or is_priced(endpoint.limits):
        return True
    if any(is_priced(tier.limits) for tier in policy.tiers.values()):
        return True
    reach = (endpoint.owner, *endpoint.shared_with)
    tenants = [policy.tenants[name] for name in reach if name in policy.tenants]
    return any(is_priced(limits) for tenant in tenants for limits in (tenant.limits, *tenant.subjects.values()))
