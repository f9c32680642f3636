"""The shape of the limits in the policy document, one class an algorithm."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from tidegate.model import Unit
from tidegate.policy import times, words
from tidegate.policy.amounts import Capacity, Refill
from tidegate.policy.strict import Strict

Attribute = Literal[
    "tenant", "subject", "client_id", "tier", "scope", "model", "endpoint", "client_ip", "api_key", "method"
]
TimeZone = Annotated[
    str, StringConstraints(min_length=1, max_length=64), Field(json_schema_extra={"examples": ["Europe/Berlin"]})
]


class _Limit(Strict):
    name: words.Name = Field(description="What the limit is called in answers, logs and metrics; unique in its list.")
    per: words.Set[Attribute] = Field(
        default=[],
        description="The attributes of a request that are counted apart; none means one count for all. "
        "A subject, an API key and a `client_id` (a token's `client_id` or `azp`, an API key's id) count within their "
        "tenant; callers of a tenant who have none, as those with tokens have no API key, count as one. `scope` is "
        "what the endpoint asks for in `scopes`, all of it, whatever else the caller holds.",
    )
    cost: Unit = Field(
        default="requests",
        description="What is counted: requests, bytes of their bodies, tokens of prompts, completions or both, or "
        "money by the `prices`. What a limit in money holds and gains is written in its currency.",
    )
    shadow: bool = Field(
        default=False, description="Count, and tell when it would refuse, but never refuse: to try a limit out."
    )


class TokenBucket(_Limit):
    """A bucket that holds `capacity` tokens and gains some at a steady rate: bursts pass, the average is held."""

    algorithm: Literal["token_bucket"] = Field(description="Selects this kind of limit.")
    capacity: Capacity = Field(description="The most tokens that the bucket holds: the largest burst.")
    refill: Refill = Field(
        description='Tokens gained in a time, for example "20/60s", or money, "0.50/60s"; 10ms to 31d.'
    )


class SlidingWindow(_Limit):
    """At most `limit` in any span of `window`, wherever the span begins. Exact: there are no window edges."""

    algorithm: Literal["sliding_window"] = Field(description="Selects this kind of limit.")
    limit: Capacity = Field(description="The most that passes in any one window.")
    window: times.Window = Field(description='The length of the window, for example "60s"; 1s to 31d.')


class SlidingWindowCounter(_Limit):
    """About `limit` in any span of `window`, in little memory: what the window before counts still is estimated.

    Never more than `limit` in a window that begins at a multiple of its length, and less than twice it in any other.
    """

    algorithm: Literal["sliding_window_counter"] = Field(description="Selects this kind of limit.")
    limit: Capacity = Field(description="The most that passes in a window.")
    window: times.Window = Field(description='The length of the window, for example "60s"; 1s to 31d.')


class Quota(_Limit):
    """At most `limit` in each hour, day, week or month of the calendar."""

    algorithm: Literal["quota"] = Field(description="Selects this kind of limit.")
    limit: Capacity = Field(description="The most that passes in a period.")
    period: Literal["hour", "day", "week", "month"] = Field(
        description="When it begins anew: at the full hour, at midnight, on Monday, or on the first of the month."
    )
    time_zone: TimeZone = Field(
        default="UTC", description='The IANA name of the time zone of the calendar, for example "Europe/Berlin".'
    )


class Concurrency(_Limit):
    """At most `limit` exchanges at once: a place is taken at admission and is free when the response is over."""

    algorithm: Literal["concurrency"] = Field(description="Selects this kind of limit.")
    limit: words.Count = Field(description="The most exchanges that run at once.")
    lease: times.Lease = Field(
        default=60.0,
        description="How long a place stays taken that nobody gives back or renews any more, as after a crash. It is "
        "renewed while its exchange runs; 1s to 1d.",
    )
    cost: Literal["requests"] = Field(default="requests", description="Each exchange takes one place.")


AnyLimit = TokenBucket | SlidingWindow | SlidingWindowCounter | Quota | Concurrency
Limits = list[Annotated[AnyLimit, Field(discriminator="algorithm")]]
