"""Capacity while the store is out: shared, denied or unlimited, as the policy says; and after it came back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import pytest
from tidegate.admission.batches import ScriptRunner
from tidegate.admission.queue.fair import Answer, Bounds
from tidegate.admission.queue.fair_queue import FairQueue
from tidegate.admission.queue.outage import OutageQueue
from tidegate.admission.queue.places import MemoryPlaces
from tidegate.admission.queue.redis import RedisPlaces
from tidegate.admission.queue.terms import Capacity, Demand, Overload, Place
from tidegate.admission.scripts import ScriptFailed, StoreTimedOut
from tidegate.clock import SystemClock
from tidegate.demo.redis_server import RedisServer
from tidegate.errors import StoreUnavailable

from tests.admission.queue.world import SECOND
from tests.admission.world import HandClock

CAPACITY = Capacity(concurrent=4, queue=0, max_wait=0.1)
WHO = Demand("a", "standard", 1, 1)


class Shaky(MemoryPlaces):
    """A store that fails when told to."""

    def __init__(self, clock: HandClock) -> None:
        super().__init__(clock)
        self.failure: StoreUnavailable | None = None
        self.asked = 0

    async def join(self, endpoint: str, bounds: Bounds, ticket: str, rank: int, tenant: str, step: int) -> Answer:
        self.asked += 1
        if self.failure is not None:
            raise self.failure
        return await super().join(endpoint, bounds, ticket, rank, tenant, step)

    async def turn(self, endpoint: str, bounds: Bounds, leaving: Sequence[str], mine: Sequence[str]) -> Answer:
        if self.failure is not None:
            raise self.failure
        return await super().turn(endpoint, bounds, leaving, mine)


class Stage:
    def __init__(self, rule: str = "share", replicas: int = 2) -> None:
        self.clock = HandClock()
        self.store = Shaky(self.clock)
        self.out = False
        self.queue = OutageQueue(
            FairQueue(self.store, self.clock, where="r"),
            FairQueue(MemoryPlaces(self.clock), self.clock, where="m"),
            self.clock,
            out=lambda: self.out,
            replicas=lambda: replicas,
            on_outage=lambda: rule,  # type: ignore[arg-type,return-value]
        )

    async def join(self) -> str:
        place = await self.queue.join("chat", CAPACITY, WHO)
        return place.ticket[:1] if isinstance(place, Place) else place.why


async def test_each_replica_enforces_its_part() -> None:
    stage = Stage()
    stage.store.failure = StoreTimedOut("frozen")
    assert [await stage.join() for _ in range(3)] == ["m", "m", "full"]


async def test_a_part_is_never_nothing() -> None:
    stage = Stage(replicas=100)
    stage.store.failure = StoreTimedOut("frozen")
    assert [await stage.join() for _ in range(2)] == ["m", "full"]


async def test_deny_is_a_failure_and_allow_counts_nobody() -> None:
    stage = Stage("deny")
    stage.store.failure = StoreTimedOut("frozen")
    with pytest.raises(StoreUnavailable):
        await stage.join()
    stage = Stage("allow")
    stage.store.failure = StoreTimedOut("frozen")
    assert [await stage.join() for _ in range(20)] == [""] * 20


async def test_after_a_timeout_nobody_asks_until_the_next_look_and_then_one_does() -> None:
    stage = Stage("allow")
    stage.store.failure = StoreTimedOut("frozen")
    for _ in range(5):
        await stage.join()
    assert stage.store.asked == 1
    stage.clock.us += SECOND // 2
    for _ in range(5):
        await stage.join()
    assert stage.store.asked == 2
    stage.store.failure = None
    stage.clock.us += SECOND // 2
    assert [await stage.join() for _ in range(2)] == ["r", "r"]


async def test_an_endpoint_whose_master_is_out_costs_the_others_nothing() -> None:
    stage = Stage("allow")
    stage.store.failure = StoreTimedOut("frozen")
    await stage.join()
    stage.store.failure = None
    place = await stage.queue.join("other", CAPACITY, WHO)
    assert isinstance(place, Place)
    assert place.ticket.startswith("r")
    assert await stage.join() == ""


async def test_it_takes_three_failures_that_came_fast() -> None:
    stage = Stage("allow")
    stage.store.failure = StoreUnavailable("refused")
    for _ in range(5):
        await stage.join()
    assert stage.store.asked == 3


async def test_one_call_that_failed_in_the_store_is_no_outage() -> None:
    stage = Stage()
    stage.store.failure = ScriptFailed("WRONGTYPE")
    for _ in range(5):
        await stage.join()
    assert stage.store.asked == 5


async def test_what_the_limits_know_of_the_store_holds_here() -> None:
    stage = Stage()
    stage.out = True
    assert await stage.join() == "m"
    assert stage.store.asked == 0


async def test_a_place_is_given_back_where_it_was_granted() -> None:
    stage = Stage()
    first = await stage.queue.join("chat", CAPACITY, WHO)
    stage.out = True
    inside = [await stage.queue.join("chat", CAPACITY, WHO) for _ in range(2)]
    assert await stage.join() == "full"
    for place in (first, inside[0]):
        assert isinstance(place, Place)
        await stage.queue.renew("chat", place.ticket)
        await stage.queue.leave("chat", place.ticket)
    assert await stage.join() == "m"
    stage.out = False
    assert [await stage.join() for _ in range(5)] == ["r"] * 4 + ["full"]


async def test_an_exchange_that_ends_at_another_replica_frees_a_place_there() -> None:
    clock = HandClock()
    here, there = (FairQueue(MemoryPlaces(clock, name), clock, where=name) for name in ("ma", "mb"))
    pair = Capacity(concurrent=2, queue=0, reserve=1)
    inside = Demand("in", "critical", 1, 1)
    tickets = {}
    for queue in (here, there):
        for who in (WHO, inside):
            place = await queue.join("chat", pair, who)
            assert isinstance(place, Place)
            tickets[queue, who] = place.ticket
    await there.leave("chat", tickets[here, WHO])
    assert isinstance(await here.join("chat", pair, WHO), Overload)
    assert isinstance(await there.join("chat", pair, inside), Place)  # a place of its class, and of no other
    assert isinstance(await there.join("chat", pair, inside), Overload)
    await there.renew("chat", tickets[here, inside])  # a long one: it counts where it runs
    await there.leave("chat", tickets[here, inside])
    assert isinstance(await there.join("chat", pair, inside), Overload)
    await there.leave("chat", tickets[there, inside])
    await there.leave("chat", tickets[there, inside])  # its own is not given back twice
    assert isinstance(await there.join("chat", pair, inside), Place)
    assert isinstance(await there.join("chat", pair, inside), Overload)


async def test_a_killed_store_is_answered_in_its_time_and_a_restarted_one_is_used(redis_server: RedisServer) -> None:
    clock = SystemClock()
    runner = ScriptRunner(redis_server.url, timeout=0.2, max_batch=16)
    queue = OutageQueue(
        FairQueue(RedisPlaces(runner), clock, where="r"),
        FairQueue(MemoryPlaces(clock), clock, where="m"),
        clock,
        probe_every=0.05,
    )
    kept = await queue.join("chat", CAPACITY, WHO)
    assert isinstance(kept, Place)
    assert kept.ticket.startswith("r")
    redis_server.stop(kill=True)
    began = time.monotonic()
    inside = [await queue.join("chat", CAPACITY, WHO) for _ in range(5)]
    assert [place.ticket[0] for place in inside if isinstance(place, Place)] == ["m"] * 4
    assert isinstance(inside[4], Overload)
    assert time.monotonic() - began < 2
    redis_server.start()
    async with asyncio.timeout(10):
        while True:
            back = await queue.join("chat", CAPACITY, WHO)
            if isinstance(back, Place) and back.ticket.startswith("r"):
                break
            await asyncio.sleep(0.01)
    await queue.renew("chat", kept.ticket)  # its exchange has run on: it counts again in the empty store
    places = [await queue.join("chat", CAPACITY, WHO) for _ in range(4)]
    assert sum(isinstance(place, Place) for place in places) == 2
    await queue.close()
