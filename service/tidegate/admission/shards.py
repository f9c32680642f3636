"""A breaker for each master of a cluster: when one is out, only the limits on its slots are under the outage's rule.

What a master is owed after an outage goes to whoever serves the slots by then: itself, or a replica that took over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from itertools import count

from redis.crc import key_slot

from tidegate.admission.cluster import ClusterRunner
from tidegate.admission.heartbeats import Heartbeats
from tidegate.admission.ledger import Extension
from tidegate.admission.memory import MemoryLedger
from tidegate.admission.outage import OnOutage, OutageLedger, State
from tidegate.admission.redis import RedisLedger
from tidegate.errors import StoreUnavailable
from tidegate.model import Admission, Charge


class Shard:
    """What one master counts, as the store that its breaker stands before."""

    def __init__(self, address: str, store: RedisLedger, runner: ClusterRunner) -> None:
        self._address = address
        self._store = store
        self._runner = runner

    async def reserve(self, charges: Sequence[Charge], *, hold: float | None = None) -> Admission:
        """Take every charge, all of one tag, or none."""
        return await self._store.reserve(charges, hold=hold)

    async def settle(self, reservation: str, costs: Mapping[str, int]) -> bool:
        """Replace reserved costs by actual ones, once."""
        return await self._store.settle(reservation, costs)

    async def extend(self, reservation: str, costs: Mapping[str, int], *, hold: float) -> Extension:
        """Add to what is reserved, all or none, and renew it."""
        return await self._store.extend(reservation, costs, hold=hold)

    async def enter(self, charges: Sequence[Charge], *, once: str, keep: float) -> bool:
        """Charge what was used elsewhere, tag by tag, each once; False when all of it was entered before."""
        groups: dict[str, list[Charge]] = {}
        for charge in charges:
            groups.setdefault(self._store.tag(charge), []).append(charge)
        entering = (self._store.enter(group, once=f"{once}{{{tag}}}", keep=keep) for tag, group in groups.items())
        outcomes = await asyncio.gather(*entering, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        return any(outcomes)

    async def ready(self) -> bool:
        """Whether the master takes writes, or is one no more, so that its slots are served elsewhere, if at all."""
        slots = self._runner.slots
        if not await slots.learn():
            return False
        if self._address not in slots.masters:
            return bool(self._address) or slots.covered
        tag = next(tag for tag in map(str, count()) if slots.owner(key_slot(tag.encode())) == self._address)
        try:
            await self._store.enter((), once=f"ready{{{tag}}}", keep=0.001)
        except StoreUnavailable:
            return False
        return True

    async def close(self) -> None:
        """Nothing: the connections are shared."""


class Shards:
    """`Places` on the masters of a cluster, each with a breaker and a memory of its own.

    For `on_outage` and `on_state` see `OutageLedger`: the state told is "open" while any master is out.
    """

    def __init__(
        self,
        store: RedisLedger,
        runner: ClusterRunner,
        *,
        memory: Callable[[], MemoryLedger],
        heartbeats: Heartbeats,
        on_outage: Callable[[], OnOutage] = lambda: "share",
        on_state: Callable[[State], None] = lambda _: None,
        probe_every: float = 0.5,
    ) -> None:
        self._store = store
        self._runner = runner
        self._memory = memory
        self._heartbeats = heartbeats
        self._on_outage = on_outage
        self._on_state = on_state
        self._probe_every = probe_every
        self._ledgers: dict[str, OutageLedger] = {}
        self._state: State = "closed"

    def tag(self, charge: Charge) -> str:
        """The hash tag of a charge."""
        return self._store.tag(charge)

    def at(self, tag: str) -> OutageLedger:
        """The ledger of the master that serves the slot of a tag; of nobody, while nobody is known to."""
        address = self._runner.slots.owner(key_slot(tag.encode()))
        return self._ledgers.get(address) or self._new(address)

    def live(self) -> int:
        """How many replicas share what there is, this one included."""
        return self._heartbeats()

    def exact(self) -> bool:
        """Whether no master is known to be out."""
        return self._state == "closed"

    async def ready(self) -> bool:
        """Whether every slot is served, by masters that answer now."""
        slots = self._runner.slots
        if not slots.covered and not (await slots.learn() and slots.covered):
            return False
        ledgers = [self._ledgers.get(address) or self._new(address) for address in slots.masters]
        return all(await asyncio.gather(*(ledger.ready() for ledger in ledgers)))

    async def close(self) -> None:
        """Stop looking for masters, and close the connections. What they are still owed is lost."""
        await self._heartbeats.close()
        for ledger in self._ledgers.values():
            await ledger.close()
        await self._store.close()

    def _new(self, address: str) -> OutageLedger:
        for old in [known for known in self._ledgers if known not in self._runner.slots.masters]:
            if self._ledgers[old].idle:
                del self._ledgers[old]
        ledger = self._ledgers[address] = OutageLedger(
            Shard(address, self._store, self._runner),
            self._memory(),
            replicas=lambda: self._heartbeats(),
            on_outage=self._on_outage,
            on_state=lambda _: self._tell(),
            probe_every=self._probe_every,
        )
        return ledger

    def _tell(self) -> None:
        states = {ledger.state for ledger in self._ledgers.values()}
        worst: State = "open" if "open" in states else "half_open" if "half_open" in states else "closed"
        if worst != self._state:
            self._state = worst
            self._on_state(worst)
