"""The shape of an endpoint's capacity in the policy document."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tidegate.admission.queue.terms import MAX_QUEUE
from tidegate.policy import times
from tidegate.policy.strict import Strict


class Capacity(Strict):
    """How many exchanges an endpoint carries at once, over all replicas, and the queue in front of it."""

    concurrent: int = Field(ge=1, le=100_000, description="The most exchanges that run at once.")
    queue: int = Field(
        default=128,
        ge=0,
        le=MAX_QUEUE,
        description="The most that wait; beyond it whoever would be served last gets 503.",
    )
    max_wait: times.QueueWait = Field(
        default=0.15,
        description="How long one waits before it gets 503; 1ms to 1s, half of what Envoy gives a decision.",
    )
    lease: times.Lease = Field(
        default=60.0,
        description="When the place of an exchange that nobody hears of any more is free again, as after a crash; "
        "1s to 1d.",
    )
    reserve: int | None = Field(
        default=None,
        ge=0,
        le=99_999,
        description="How many of the places only critical exchanges may take. By default an eighth, rounded up, where "
        "a tier is critical, else none.",
    )
    cost: Literal["tokens", "requests"] = Field(
        default="tokens",
        description="What the shares of tenants are measured in: tokens, estimated from the request body, or requests.",
    )
