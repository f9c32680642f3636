"""The cost of one exchange in every unit that a limit may be priced in, and which limits need more than a count."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Final

from tidegate.model import Hold, Limit
from tidegate.policy.compiled import Endpoint, Policy

MAX_UNITS: Final = 2**40
"""No cost is larger: an estimate is cut to it, a usage beyond it is not believed. Units."""
BYTES_PER_TOKEN: Final = 4
"""UTF-8 bytes that count as one token where nobody counted tokens. About right for English, dear for other scripts."""
HOLD: Final = 600.0
"""How long a reservation can still be settled; afterwards what was reserved stands. Leases have times of their own.
Seconds."""
_KNOWN_BEFORE: Final = frozenset({"requests", "request_bytes"})
_NOTHING: Final = Hold()


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


def is_metered(limit: Limit) -> bool:
    """Whether what `limit` counts is only known from the response."""
    return limit.cost not in _KNOWN_BEFORE


def hold_for(limits: Iterable[Limit], costs: Costs, seconds: float | None) -> Hold:
    """What a reservation of `costs` on `limits` holds for the response, for `seconds`; nothing when that is None."""
    if seconds is None:
        return _NOTHING
    amounts = costs.as_mapping()
    units: dict[str, int] = {}
    names: dict[str, None] = {}
    lease = seconds
    for limit in limits:
        if limit.algorithm == "concurrency":
            lease = min(lease, limit.period)
        elif is_metered(limit):
            units[limit.cost] = amounts[limit.cost]
            if not limit.shadow:
                names[limit.name] = None
    return Hold(seconds, tuple(units.items()), tuple(names), lease)


def limits_that_may_apply(policy: Policy, endpoint: Endpoint) -> Iterator[Limit]:
    """Floor and tier limits anywhere, those of a tenant and its subjects where it owns or was lent the endpoint."""
    yield from policy.floor_limits
    yield from endpoint.limits
    for tier in policy.tiers.values():
        yield from tier.limits
    for name in (endpoint.owner, *endpoint.shared_with):
        if name in policy.tenants:
            tenant = policy.tenants[name]
            yield from tenant.limits
            yield from chain.from_iterable(tenant.subjects.values())


def needs_body(policy: Policy, endpoint: Endpoint) -> bool:
    """Whether a limit that may apply to `endpoint`, or its capacity, is priced by what the request body says."""
    if endpoint.capacity is not None and endpoint.capacity.cost == "tokens":
        return True
    return is_priced(limits_that_may_apply(policy, endpoint))


def needs_meter(policy: Policy, endpoint: Endpoint) -> bool:
    """Whether a limit that may apply to `endpoint` is priced by what the response says."""
    return any(map(is_metered, limits_that_may_apply(policy, endpoint)))


def needs_settling(policy: Policy, endpoint: Endpoint) -> bool:
    """Whether an exchange of `endpoint` may hold something until it is over, however it ends."""
    return endpoint.capacity is not None or hold_seconds(limits_that_may_apply(policy, endpoint)) is not None
