"""From a store's URL to a ledger."""

from __future__ import annotations

from collections.abc import Callable

from tidegate.admission.heartbeats import Heartbeats
from tidegate.admission.ledger import Ledger
from tidegate.admission.memory import MemoryLedger
from tidegate.admission.outage import OnOutage, OutageLedger, State
from tidegate.admission.redis import RedisLedger
from tidegate.clock import Clock


async def open_ledger(
    url: str,
    *,
    clock: Clock,
    timeout: float = 0.05,
    replicas: int = 1,
    on_outage: Callable[[], OnOutage] = lambda: "share",
    on_state: Callable[[State], None] = lambda _: None,
) -> Ledger:
    """The ledger at `url`: "memory://", or a Redis as "redis://", "rediss://" or "unix://". Raises ValueError.

    A Redis need not be there yet: until it is, an outage is what there is. `timeout` is how long a decision waits for
    it, seconds. `replicas` is how many processes share the limits until heartbeats say otherwise. `on_outage` is asked
    at each decision during an outage, so that a reloaded policy holds at once; `on_state` is told when one begins
    ("open") and ends ("closed").
    """
    if url.startswith("memory:"):
        return MemoryLedger(clock)
    store = RedisLedger(url, timeout=timeout, clock=clock)
    heartbeats = Heartbeats(store, assumed=replicas)
    await heartbeats.beat()
    heartbeats.start()
    return OutageLedger(store, MemoryLedger(clock), replicas=heartbeats, on_outage=on_outage, on_state=on_state)
