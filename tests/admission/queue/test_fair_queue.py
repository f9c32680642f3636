"""Waiting for a place, on a clock that moves 5 ms whenever the queue asks."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest
from tidegate.admission.queue.fair import Answer, Bounds
from tidegate.admission.queue.fair_queue import FairQueue, Outcome
from tidegate.admission.queue.places import MemoryPlaces, Places
from tidegate.admission.queue.terms import Capacity, Demand, Overload, Place, Priority, Ticket
from tidegate.errors import StoreUnavailable

from tests.admission.queue.world import SECOND, places
from tests.admission.world import HandClock, until

CAPACITY = Capacity(concurrent=1, queue=2, max_wait=0.1, lease=10.0)


def demand(tenant: str = "a", priority: Priority = "standard", weight: int = 1) -> Demand:
    return Demand(tenant, priority, weight, 1)


class Seen:
    def __init__(self) -> None:
        self.depth = 0
        self.outcomes: Counter[str] = Counter()
        self.seconds: list[float] = []

    def waiting(self, endpoint: str, priority: Priority, change: int) -> None:
        self.depth += change

    def queued(self, endpoint: str, priority: Priority, outcome: Outcome, seconds: float) -> None:
        self.outcomes[f"{priority} {outcome}"] += 1
        self.seconds.append(seconds)


class Stage:
    """A queue for each replica, on places that they share."""

    def __init__(self, shared: Places, clock: HandClock) -> None:
        self.clock, self.places, self.seen = clock, shared, Seen()
        self.stopped = False
        self.asked = 0
        self.here, self.there = self.queue(), self.queue()

    def queue(self) -> FairQueue:
        return FairQueue(self.places, self.clock, where="m", sleep=self.sleep, observer=self.seen)

    async def sleep(self, seconds: float) -> None:
        self.asked += 1
        while self.stopped:
            await asyncio.sleep(0.001)
        self.clock.us += round(seconds * SECOND)
        await asyncio.sleep(0)

    async def granted(self, queue: FairQueue, who: Demand | None = None, capacity: Capacity = CAPACITY) -> str:
        place = await queue.join("chat", capacity, who or demand())
        assert isinstance(place, Place)
        return place.ticket


@pytest.fixture(params=["memory", "redis"])
async def stage(request: pytest.FixtureRequest, redis_url: str) -> AsyncIterator[Stage]:
    clock = HandClock()
    made = Stage(places(request.param, redis_url, clock), clock)
    yield made
    made.stopped = False
    await made.here.close()
    await made.there.close()


async def test_where_there_is_room_nobody_waits_and_nobody_asks_again(stage: Stage) -> None:
    ticket = await stage.granted(stage.here)
    assert (stage.asked, stage.seen.outcomes) == (0, {"standard granted": 1})
    await stage.here.leave("chat", ticket)
    await stage.granted(stage.there)
    assert stage.asked == 0


async def test_a_place_that_is_given_back_here_is_taken_at_once(stage: Stage) -> None:
    ticket = await stage.granted(stage.here)
    stage.stopped = True
    waiting = asyncio.create_task(stage.granted(stage.here))
    await until(lambda: stage.seen.depth == 1)
    await stage.here.leave("chat", ticket)
    assert Ticket.parse(await waiting) == Ticket("m", 1, 10.0)
    assert stage.seen.depth == 0


async def test_a_place_that_is_given_back_elsewhere_is_found_by_asking(stage: Stage) -> None:
    ticket = await stage.granted(stage.there)
    stage.stopped = True
    waiting = asyncio.create_task(stage.granted(stage.here))
    await until(lambda: stage.seen.depth == 1)
    await stage.there.leave("chat", ticket)
    stage.stopped = False
    await waiting
    assert stage.seen.outcomes == {"standard granted": 2}


async def test_who_waits_in_vain_is_late_and_told_when_to_come_back(stage: Stage) -> None:
    await stage.granted(stage.here)
    refused = await stage.here.join("chat", CAPACITY, demand())
    assert refused == Overload("late", 1.0)
    assert stage.seen.outcomes["standard late"] == 1
    assert stage.seen.seconds[-1] == pytest.approx(0.1, abs=0.006)


async def test_who_finds_the_queue_full_is_refused_at_once(stage: Stage) -> None:
    await stage.granted(stage.here)
    assert await stage.here.join("chat", replace(CAPACITY, queue=0), demand()) == Overload("full", 1.0)
    assert stage.asked == 0


async def test_sheddable_makes_way_for_a_better_one_of_another_replica(stage: Stage) -> None:
    await stage.granted(stage.here)
    one = replace(CAPACITY, queue=1)
    stage.stopped = True
    shed = asyncio.create_task(stage.here.join("chat", one, demand("b", "sheddable", 1000)))
    await until(lambda: stage.seen.depth == 1)
    better = asyncio.create_task(stage.there.join("chat", one, demand("c")))
    await until(lambda: stage.seen.depth == 2)
    stage.stopped = False
    assert await shed == Overload("shed", 1.0)
    assert await better == Overload("late", 1.0)
    assert stage.seen.outcomes["sheddable shed"] == 1


async def test_shares_are_over_all_replicas_and_not_in_each(stage: Stage) -> None:
    pair = replace(CAPACITY, queue=10)
    ticket = await stage.granted(stage.here, demand("flood"), pair)
    stage.stopped = True
    served: list[str] = []

    async def wait(queue: FairQueue, tenant: str) -> None:
        place = await queue.join("chat", pair, demand(tenant))
        assert isinstance(place, Place)
        served.append(tenant)
        await queue.leave("chat", place.ticket)

    waiting = [asyncio.create_task(wait(stage.here, "flood")) for _ in range(4)]
    await until(lambda: stage.seen.depth == 4)
    waiting += [asyncio.create_task(wait(stage.there, "small")) for _ in range(2)]
    await until(lambda: stage.seen.depth == 6)
    stage.stopped = False
    await stage.here.leave("chat", ticket)
    await asyncio.gather(*waiting)
    assert served == ["small", "flood", "small", "flood", "flood", "flood"]


async def test_who_gives_up_leaves_the_queue(stage: Stage) -> None:
    ticket = await stage.granted(stage.here)
    stage.stopped = True
    first = asyncio.create_task(stage.here.join("chat", CAPACITY, demand()))
    await until(lambda: stage.seen.depth == 1)
    second = asyncio.create_task(stage.granted(stage.here))
    await until(lambda: stage.seen.depth == 2)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await until(lambda: stage.seen.depth == 1)
    await stage.here.leave("chat", ticket)
    await second
    assert stage.seen.outcomes == {"standard granted": 2, "standard left": 1}


async def test_who_gives_up_as_it_is_served_leaves_its_place_to_the_next(stage: Stage) -> None:
    ticket = await stage.granted(stage.here)
    stage.stopped = True
    first = asyncio.create_task(stage.here.join("chat", CAPACITY, demand()))
    await until(lambda: stage.seen.depth == 1)
    await stage.here.leave("chat", ticket)  # tells `first`, which has not run since
    if not first.done():
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
    else:
        place = first.result()
        assert isinstance(place, Place)
        await stage.here.leave("chat", place.ticket)
    stage.stopped = False
    await stage.granted(stage.there)


async def test_a_renewed_place_outlives_its_lease(stage: Stage) -> None:
    ticket = await stage.granted(stage.here)
    for _ in range(3):
        stage.clock.us += 9 * SECOND
        await stage.there.renew("chat", ticket)
    assert isinstance(await stage.here.join("chat", CAPACITY, demand()), Overload)
    stage.clock.us += 10 * SECOND
    await stage.granted(stage.here)


@pytest.mark.parametrize(
    "ticket",
    [
        "",
        "m",
        "x.160000.abc",
        "m..abc",
        "m.1.abc",
        "m.m60000.abc",
        "m.160000.",
        "m.160000",
        "m.10.abc",
        "r.0000.abc",
        "r.360000.abc",
        f"r.1{'9' * 40}.abc",
    ],
)
async def test_what_is_no_ticket_renews_nothing(ticket: str) -> None:
    with pytest.raises(ValueError, match="ticket"):
        await Stage(MemoryPlaces(HandClock()), HandClock()).here.renew("chat", ticket)


class Failing(MemoryPlaces):
    """Takes who comes, and does not answer when asked again."""

    def __init__(self, clock: HandClock) -> None:
        super().__init__(clock)
        self.left: list[str] = []

    async def turn(self, endpoint: str, bounds: Bounds, leaving: Sequence[str], mine: Sequence[str]) -> Answer:
        self.left += leaving
        raise StoreUnavailable("down")


async def test_all_who_wait_hear_of_it_when_the_store_fails() -> None:
    clock = HandClock()
    shared = Failing(clock)
    stage = Stage(shared, clock)
    await stage.granted(stage.here)
    waiting = [asyncio.create_task(stage.here.join("chat", CAPACITY, demand())) for _ in range(2)]
    for one in waiting:
        with pytest.raises(StoreUnavailable):
            await one
    assert stage.seen.outcomes["standard unavailable"] == 2
    await until(lambda: len(shared.left) == 2)  # and are taken out, should it have been a moment only


async def test_a_store_whose_clock_stands_still_lets_nobody_wait_for_ever() -> None:
    clock, still = HandClock(), HandClock()
    stage = Stage(MemoryPlaces(still), clock)
    await stage.granted(stage.here)
    assert await stage.here.join("chat", CAPACITY, demand()) == Overload("late", 1.0)
    assert stage.seen.seconds[-1] < 0.2


async def test_closing_fails_who_still_waits() -> None:
    clock = HandClock()
    stage = Stage(MemoryPlaces(clock), clock)
    await stage.granted(stage.here)
    stage.stopped = True
    waiting = asyncio.create_task(stage.here.join("chat", CAPACITY, demand()))
    await until(lambda: stage.asked == 1)
    await stage.here.close()
    with pytest.raises(StoreUnavailable):
        await waiting
