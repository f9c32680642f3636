"""Capacity while the store is out: each replica enforces its part, as for limits.

A breaker for each endpoint stands before the store, for in a cluster they are on different masters. It opens at the
first call that is not answered in time and after a few failures in a row, and then lets one call through every half
second to look; the breaker of the limits, which looks in the background, holds here too. The call that met the failure
gets the answer of an outage.

While it is open the policy says what happens. **share**: this replica enforces concurrent ÷ live replicas, rounded
down, at least 1, and as much of the queue and of the reserve. **deny**: `StoreUnavailable`. **allow**: all pass.

An exchange that ends at another replica than it began at frees a place there (see `MemoryPlaces`).

What this cannot do: at a switch neither side knows what the other has granted, so for the time that those exchanges run
an endpoint may carry its capacity twice. Places in the store lapse while nobody can renew them, and count again when
the store is back and they are renewed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from tidegate.admission.queue.fair_queue import FairQueue
from tidegate.admission.queue.terms import Capacity, Demand, Overload, Place
from tidegate.admission.scripts import ScriptFailed, SlotMoving, StoreTimedOut
from tidegate.clock import Clock
from tidegate.errors import StoreUnavailable

_FAILURES = 3


class OutageQueue:
    """A `Queue` that asks `store`, and by the policy's rule `local` while the store is out.

    `out` says whether the store is known to be; `replicas` and `on_outage` are asked at every join of an outage.
    """

    def __init__(
        self,
        store: FairQueue,
        local: FairQueue,
        clock: Clock,
        *,
        out: Callable[[], bool] = lambda: False,
        replicas: Callable[[], int] = lambda: 1,
        on_outage: Callable[[], Literal["share", "deny", "allow"]] = lambda: "share",
        probe_every: float = 0.5,
    ) -> None:
        self._store = store
        self._local = local
        self._clock = clock
        self._out = out
        self._replicas = replicas
        self._on_outage = on_outage
        self._probe_every = probe_every
        self._failures: dict[str, int] = {}
        self._probe_at: dict[str, float] = {}  # while it is there the breaker is open, and until then nobody asks

    async def join(self, endpoint: str, capacity: Capacity, demand: Demand) -> Place | Overload:
        """A place, or why there is none. In an outage "deny" raises `StoreUnavailable`."""
        began = self._clock.monotonic()
        if self._may_ask(endpoint, began):
            try:
                place = await self._store.join(endpoint, capacity, demand)
            except StoreUnavailable as error:
                self._failed(endpoint, error)
            else:
                self._failures.pop(endpoint, None)
                self._probe_at.pop(endpoint, None)
                return place
        rule = self._on_outage()
        if rule == "deny":
            raise StoreUnavailable("the store of the queue is out, and the policy says to deny")
        if rule == "allow":
            return Place(endpoint, "")
        waited = self._clock.monotonic() - began
        return await self._local.join(endpoint, _share(capacity, max(1, self._replicas()), waited), demand)

    async def renew(self, endpoint: str, ticket: str) -> None:
        """Keep the place of a ticket for another lease, where it was granted."""
        await self._of(ticket).renew(endpoint, ticket)

    async def leave(self, endpoint: str, ticket: str) -> None:
        """Give the place of a ticket back, where it was granted."""
        await self._of(ticket).leave(endpoint, ticket)

    async def close(self) -> None:
        """Close both."""
        await self._store.close()
        await self._local.close()

    def _of(self, ticket: str) -> FairQueue:
        return self._local if ticket.startswith("m") else self._store

    def _may_ask(self, endpoint: str, now: float) -> bool:
        if self._out():
            return False
        if endpoint in self._probe_at:
            if now < self._probe_at[endpoint]:
                return False
            # This call looks; the others do not wait for what it finds.
            self._probe_at[endpoint] = now + self._probe_every
        return True

    def _failed(self, endpoint: str, error: StoreUnavailable) -> None:
        if isinstance(error, ScriptFailed | SlotMoving):
            return
        failures = self._failures[endpoint] = self._failures.get(endpoint, 0) + 1
        if failures >= _FAILURES or isinstance(error, StoreTimedOut):
            self._probe_at[endpoint] = self._clock.monotonic() + self._probe_every


def _share(capacity: Capacity, replicas: int, waited: float) -> Capacity:
    concurrent = max(1, capacity.concurrent // replicas)
    return replace(
        capacity,
        concurrent=concurrent,
        reserve=min(capacity.reserve // replicas, concurrent - 1),
        queue=-(-capacity.queue // replicas),
        max_wait=max(0.0, capacity.max_wait - waited),
    )
