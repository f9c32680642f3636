"""From a store's URL to a ledger."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from tidegate.admission.ledger import Ledger
from tidegate.admission.memory import MemoryLedger
from tidegate.admission.redis import RedisLedger
from tidegate.clock import Clock


async def open_ledger(
    url: str,
    *,
    clock: Clock,
    timeout: float = 0.05,
    replicas: int = 1,
    on_outage: Callable[[], Literal["share", "deny", "allow"]] = lambda: "share",
) -> Ledger:
    """The ledger at `url`: "memory://", or a Redis as "redis://", "rediss://" or "unix://". Raises ValueError.

    `timeout` is how long a decision waits for the store, seconds. `replicas` is how many processes share the limits
    until heartbeats say otherwise. `on_outage` is asked at each decision that the store did not answer.
    """
    if url == "memory://":
        return MemoryLedger(clock)
    return RedisLedger(url, timeout=timeout)
