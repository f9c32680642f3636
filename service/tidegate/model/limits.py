"""Limits, what is charged to them, and the answer of a ledger."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

Algorithm = Literal["token_bucket", "sliding_window", "sliding_window_counter", "quota", "concurrency"]
Unit = Literal["requests", "request_bytes", "tokens", "prompt_tokens", "completion_tokens", "money"]
UNITS: tuple[Unit, ...] = get_args(Unit)
"""Everything that a limit may count. Money is counted in micro-units: millionths of one unit of its currency."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit of the policy, compiled.

    token_bucket: holds at most `capacity` tokens and gains `refill` tokens every `period` seconds.
    sliding_window: at most `capacity` cost in any `period` seconds (exact log); `refill` is unused (0).
    sliding_window_counter: the same, estimated from two sums (`admission.reference_sums` says how well).
    quota: at most `capacity` cost in each calendar period `resets` of the IANA time zone `time_zone`; `period` is how
    long one lasts, nominally.
    concurrency: at most `capacity` cost held at once, each by a lease that lasts `period` seconds unless it is renewed.
    `per` names the request attributes that make the key; `name` is unique within its `scope`
    ("platform", "tier:free", "tenant:acme", "endpoint:chat"). `cost` is the unit in which `capacity` and charges are
    counted; `currency` is the ISO 4217 code where that is money. A `shadow` limit counts, and tells when it would have
    refused, but never refuses.
    """

    scope: str
    name: str
    algorithm: Algorithm
    capacity: int
    period: float
    refill: int = 0
    per: tuple[str, ...] = ()
    cost: Unit = "requests"
    shadow: bool = False
    resets: Literal["", "hour", "day", "week", "month"] = ""
    time_zone: str = "UTC"
    currency: str = ""


class Price(NamedTuple):
    """What a model costs, in micro-units of the policy's currency: each million tokens of a kind, and each request.

    `cache_read` and `cache_write` are for the tokens of a prompt that the model read from its prompt cache or wrote
    to it, `prompt` for all others.
    """

    prompt: int
    completion: int
    cache_read: int
    cache_write: int
    request: int = 0


def window_seconds(limit: Limit) -> int:
    """The time to which `capacity` applies, whole seconds, rounded up.

    Of a bucket, how long it takes to fill; of a quota, how long its period lasts at the most (a month: 31 days).
    """
    if limit.algorithm == "token_bucket":
        return math.ceil(limit.capacity * limit.period / limit.refill)
    return math.ceil(limit.period)


class Charge(NamedTuple):
    """A demand on one limit: `cost` in its unit, under `key` (the rendered, unambiguous values of `limit.per`)."""

    limit: Limit
    key: str
    cost: int = 1


class LimitState(NamedTuple):
    """One limit as it stood just after a decision.

    `remaining` is whole units left; `reset_after` is seconds until the limit is full again; `retry_after` is seconds
    until the refused cost would fit, 0.0 when it fitted, and infinity when it never can (cost over capacity). Of a
    limit on concurrency nobody can foretell that: `retry_after` is then a second, and `reset_after` until all leases
    lapse that are not renewed.
    """

    limit: Limit
    remaining: int
    reset_after: float
    retry_after: float = 0.0


@dataclass(frozen=True, slots=True)
class Admission:
    """The answer of a ledger. `refused` is None when every charge was taken; nothing is charged otherwise.

    `states` are the limits that bind, in the order of the charges; of a refusal that is repeated without asking the
    store, only those that are known to refuse. `shadowed` are the shadow limits that would have
    refused, and so were not charged; whether they would have has no bearing on anything else.
    `reservation` names the charge for a later `settle`; "" when the caller asked for none. `enforcement` says who
    counted: "exact", or "share" while each replica enforces its part because the store is out, or "none".
    """

    states: tuple[LimitState, ...]
    refused: LimitState | None = None
    reservation: str = ""
    enforcement: Literal["exact", "share", "none"] = "exact"
    shadowed: tuple[LimitState, ...] = ()


def exceeded(admission: Admission) -> tuple[Limit, ...]:
    """The limits that had no room for a refused request."""
    return tuple([state.limit for state in admission.states if state.retry_after]) if admission.refused else ()


class Hold(NamedTuple):
    """What a reservation set aside for an exchange, until it is settled.

    `amounts` are the (unit, amount) that a response may use up while it runs; `limits` the names of the limits that
    count those units and can refuse more. The reservation lapses after `seconds` unless it is extended, and what it
    holds of limits on concurrency after `lease`, which is no longer.
    """

    seconds: float = 0.0
    amounts: tuple[tuple[str, int], ...] = ()
    limits: tuple[str, ...] = ()
    lease: float = 0.0
