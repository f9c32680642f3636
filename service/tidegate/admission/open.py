"""From a store's URL to a ledger, and to the queue beside it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final

from redis.asyncio.connection import ConnectionPool

from tidegate.admission.batches import Record, ScriptRunner
from tidegate.admission.cluster import ClusterRunner
from tidegate.admission.denials import Denials
from tidegate.admission.heartbeats import Heartbeats
from tidegate.admission.ledger import Ledger
from tidegate.admission.memory import MemoryLedger
from tidegate.admission.outage import OnOutage, OutageLedger, State
from tidegate.admission.queue.fair_queue import FairQueue, Observer, Queue
from tidegate.admission.queue.outage import OutageQueue
from tidegate.admission.queue.places import MemoryPlaces
from tidegate.admission.queue.redis import RedisPlaces
from tidegate.admission.redis import RedisLedger
from tidegate.admission.shards import Shards
from tidegate.admission.slots import ClusterUrl
from tidegate.admission.spanning import SpanningLedger
from tidegate.clock import Clock

MEMORY: Final = "memory://"
_REDIS: Final = ("redis://", "rediss://", "unix://")
CLUSTER: Final = ("redis+cluster://", "rediss+cluster://")
_MAX_BATCH: Final = 128


def check_url(url: str) -> None:
    """Raises ValueError, with words for who wrote it, when no ledger can be at `url`. Connects to nothing."""
    if url == MEMORY:
        return
    if not url.startswith((*_REDIS, *CLUSTER)):
        raise ValueError(f"must be {MEMORY}, or begin with {', '.join((*_REDIS, *CLUSTER))}")
    if not url.startswith("unix://") and not {"/", "?", "#"}.isdisjoint(url.partition("://")[2].rpartition("@")[0]):
        raise ValueError("percent-encode '/', '?' and '#' in a user and a password")  # else they end the host's name
    clustered = url.startswith(CLUSTER)
    if clustered:
        cluster = ClusterUrl(url)
        url = cluster.node(cluster.seeds[0])
    try:
        connection = ConnectionPool.from_url(url).make_connection()  # type: ignore[no-untyped-call]  # untyped in redis-py
    except TypeError as error:  # an option after "?" that its connections do not have
        raise ValueError(str(error).partition("() ")[2] or str(error)) from None
    if clustered and connection.db:
        raise ValueError("a cluster has one database, number 0")


async def open_ledger(
    url: str,
    *,
    clock: Clock,
    timeout: float = 0.05,
    replicas: int = 1,
    on_outage: Callable[[], OnOutage] = lambda: "share",
    on_state: Callable[[State], None] = lambda _: None,
    on_silence: Callable[[str], None] = lambda _: None,
    on_error: Callable[[Exception], None] = lambda _: None,
    on_spared: Callable[[], None] = lambda: None,
    on_batch: Record = lambda _how, _seconds: None,
) -> Ledger:
    """The ledger at `url`: "memory://", a Redis ("redis://", "rediss://", "unix://"), or a Redis Cluster. ValueError.

    A cluster is "redis+cluster://host:port,host:port", or "rediss+cluster://" for TLS; each master has a breaker.

    A Redis need not be there yet: until it is, an outage is what there is. `timeout` is how long a decision waits for
    it, seconds. `replicas` is how many processes share the limits until heartbeats say otherwise. `on_outage` is asked
    at each decision during an outage, so that a reloaded policy holds at once; `on_state` is told when one begins
    ("open") and ends ("closed"), `on_silence` why the store does not answer now, and `on_spared` of each refusal that
    is repeated without asking the store. `on_batch` is told how each batch of calls went, and its seconds, `on_error`
    of what should not happen.
    """
    check_url(url)
    if url == MEMORY:
        return MemoryLedger(clock)
    runner = ClusterRunner(ClusterUrl(url), timeout=timeout, record=on_batch) if url.startswith(CLUSTER) else None
    store = RedisLedger(runner or _runner(url, timeout, on_batch), timeout=timeout, clock=clock)
    heartbeats = Heartbeats(store, assumed=replicas, on_error=on_error)
    if not await heartbeats.beat():
        on_silence(heartbeats.failure)
    heartbeats.start()
    denials = Denials(clock, on_spared=on_spared)
    if runner is not None:
        return SpanningLedger(
            Shards(
                store,
                runner,
                memory=lambda: MemoryLedger(clock),
                heartbeats=heartbeats,
                on_outage=on_outage,
                on_state=on_state,
            ),
            denials=denials,
        )
    return OutageLedger(
        store,
        MemoryLedger(clock),
        denials=denials,
        replicas=heartbeats,
        on_outage=on_outage,
        on_state=on_state,
    )


def open_queue(
    url: str,
    *,
    ledger: Ledger,
    clock: Clock,
    timeout: float = 0.05,
    on_outage: Callable[[], OnOutage] = lambda: "share",
    observer: Observer | None = None,
    on_batch: Record = lambda _how, _seconds: None,
) -> Queue:
    """The capacity of endpoints, at the same `url` as `ledger`, whose breaker and count of replicas hold here too."""
    here = f"m{secrets.token_urlsafe(6)}"
    local = FairQueue(MemoryPlaces(clock, here), clock, where=here, observer=observer)
    if not isinstance(ledger, OutageLedger | SpanningLedger):  # memory://
        return local
    clustered = url.startswith(CLUSTER)
    runner = (
        ClusterRunner(ClusterUrl(url), timeout=timeout, record=on_batch)
        if clustered
        else _runner(url, timeout, on_batch)
    )
    return OutageQueue(
        FairQueue(RedisPlaces(runner), clock, where="r", observer=observer),
        local,
        clock,
        out=lambda: isinstance(ledger, OutageLedger) and ledger.state != "closed",
        replicas=ledger.live,
        on_outage=on_outage,
    )


def _runner(url: str, timeout: float, record: Record) -> ScriptRunner:
    return ScriptRunner(url, timeout=timeout, max_batch=_MAX_BATCH, record=record)
