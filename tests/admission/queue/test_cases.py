"""What a line of one endpoint does, in memory, in Redis and in a Redis Cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from tidegate.admission.queue.fair import CLAIM_US, CLOSED, GONE, GRANTED, MAX_COST, WAITING, Bounds, step_of
from tidegate.admission.queue.places import Places
from tidegate.admission.queue.terms import RANK, Capacity, Demand, Priority

from tests.admission.queue.world import MS, SECOND, places
from tests.admission.world import HandClock

BOUNDS = Bounds.of(Capacity(concurrent=2, queue=3, max_wait=0.1, lease=10.0))


@dataclass
class Stage:
    places: Places
    clock: HandClock
    bounds: Bounds = BOUNDS

    async def join(
        self, ticket: str, tenant: str = "a", priority: Priority = "standard", weight: int = 1, cost: int = 1
    ) -> int:
        step = step_of(Demand(tenant, priority, weight, cost))
        answer = await self.places.join("chat", self.bounds, ticket, RANK[priority], tenant, step)
        return answer.states[0]

    async def leave(self, *tickets: str) -> None:
        await self.places.turn("chat", self.bounds, tickets, ())

    async def ask(self, *tickets: str) -> tuple[int, ...]:
        return (await self.places.turn("chat", self.bounds, (), tickets)).states

    async def wait(self) -> int:
        return (await self.places.turn("chat", self.bounds, (), ())).wait


@pytest.fixture(params=["memory", "redis", "cluster"])
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    clock = HandClock()
    url = "" if request.param == "memory" else request.getfixturevalue(f"{request.param}_url")
    made = Stage(places(request.param, url, clock), clock)
    yield made
    await made.places.close()


async def test_as_many_run_as_there_are_places_and_the_next_waits_for_one(stage: Stage) -> None:
    assert [await stage.join(ticket) for ticket in "abc"] == [GRANTED, GRANTED, WAITING]
    await stage.leave("a")
    assert await stage.ask("c") == (GRANTED,)


async def test_endpoints_have_places_of_their_own(stage: Stage) -> None:
    await stage.join("a")
    await stage.join("b")
    assert (await stage.places.join("other", BOUNDS, "c", 1, "a", 1)).states == (GRANTED,)


async def test_a_full_queue_refuses_the_last_of_the_tenant_that_has_the_most_in_it(stage: Stage) -> None:
    for ticket in ("r1", "r2", "a1", "a2", "a3"):
        await stage.join(ticket)
    assert await stage.join("a4") == GONE
    assert await stage.join("b1", "b") == WAITING
    assert await stage.ask("a1", "a2", "a3", "b1") == (WAITING, WAITING, GONE, WAITING)


async def test_a_full_queue_refuses_sheddable_before_anybody_else(stage: Stage) -> None:
    for ticket in ("r1", "r2", "a1"):
        await stage.join(ticket)
    for ticket in ("s1", "s2"):
        assert await stage.join(ticket, "b", "sheddable", weight=1000) == WAITING
    assert await stage.join("a2") == WAITING
    assert await stage.ask("s1", "s2", "a1", "a2") == (WAITING, GONE, WAITING, WAITING)
    assert await stage.join("s3", "c", "sheddable", weight=1000) == GONE  # as far on as s1, which came first
    assert await stage.join("c1", "c", "critical") == WAITING
    assert await stage.ask("s1") == (GONE,)
    assert await stage.join("s4", "d", "sheddable") == GONE
    assert await stage.ask("a1", "a2", "c1") == (WAITING, WAITING, WAITING)


async def test_classes_are_served_in_their_order(stage: Stage) -> None:
    for ticket in ("r1", "r2"):
        await stage.join(ticket)
    await stage.join("s", "a", "sheddable")
    await stage.join("n", "b", "standard")
    await stage.join("c", "c", "critical")
    for first in ("c", "n", "s"):
        await stage.leave("r1")
        states = dict(zip("cns", await stage.ask("c", "n", "s"), strict=True))
        assert [ticket for ticket in "cns" if states[ticket] == GRANTED] == [first]
        await stage.leave(first)
        assert await stage.join("r1", "filler", "critical") == GRANTED if first == "s" else True


async def test_only_critical_takes_what_is_reserved(stage: Stage) -> None:
    stage.bounds = BOUNDS._replace(concurrent=3, reserve=1)
    assert [await stage.join(ticket) for ticket in "abc"] == [GRANTED, GRANTED, WAITING]
    assert await stage.join("x", "in", "critical") == GRANTED
    assert await stage.join("y", "in", "critical") == WAITING
    await stage.leave("x")
    assert await stage.ask("y", "c") == (GRANTED, WAITING)
    await stage.leave("a")
    assert await stage.ask("c") == (GRANTED,)


async def test_who_waited_long_enough_is_gone_and_leaves_its_turn_to_others(stage: Stage) -> None:
    for ticket in ("r1", "r2", "late"):
        await stage.join(ticket)
    stage.clock.us += 60 * MS
    await stage.join("next", "b")
    stage.clock.us += 40 * MS
    await stage.leave("r1")
    assert await stage.ask("late", "next") == (GONE, GRANTED)


async def test_a_place_of_which_nothing_is_heard_lapses(stage: Stage) -> None:
    for ticket in ("r1", "r2"):
        await stage.join(ticket)
    stage.clock.us += 6 * SECOND
    await stage.places.renew("chat", "r2", 1, 10 * SECOND)
    stage.clock.us += 4 * SECOND - 1
    await stage.join("c")
    assert await stage.ask("c") == (WAITING,)
    stage.clock.us += 1
    assert await stage.ask("c", "r2") == (GRANTED, GRANTED)


async def test_a_place_granted_to_a_replica_that_is_gone_lapses_soon(stage: Stage) -> None:
    for ticket in ("r1", "r2", "dead"):
        await stage.join(ticket)
    await stage.leave("r1")  # by somebody else: "dead" is not asked after
    stage.clock.us += 100 * MS + CLAIM_US - 1
    assert await stage.join("b") == WAITING
    stage.clock.us += 1
    assert await stage.ask("b") == (GRANTED,)


async def test_a_renewed_place_that_had_lapsed_counts_again(stage: Stage) -> None:
    for ticket in ("r1", "r2"):
        await stage.join(ticket)
    stage.clock.us += 11 * SECOND
    assert await stage.join("c") == GRANTED
    await stage.places.renew("chat", "r1", 1, 10 * SECOND)
    assert await stage.join("d") == WAITING


async def test_who_only_leaves_grants_nothing(stage: Stage) -> None:
    for ticket in ("r1", "r2", "c"):
        await stage.join(ticket)
    await stage.places.turn("chat", CLOSED, ("r1", "unknown"), ())
    assert await stage.ask("c") == (GRANTED,)


async def test_a_capacity_that_was_lowered_holds_for_who_comes_next(stage: Stage) -> None:
    for ticket in ("r1", "r2", "a", "b", "c"):
        await stage.join(ticket)
    stage.bounds = BOUNDS._replace(concurrent=1, queue=1)
    assert await stage.join("d", "other") == WAITING
    assert await stage.ask("a", "b", "c", "d") == (GONE, GONE, GONE, WAITING)
    await stage.leave("r1")
    assert await stage.ask("d") == (WAITING,)
    await stage.leave("r2")
    assert await stage.ask("d") == (GRANTED,)


async def test_without_a_queue_who_finds_no_place_is_refused(stage: Stage) -> None:
    stage.bounds = BOUNDS._replace(queue=0)
    assert [await stage.join(ticket) for ticket in "abc"] == [GRANTED, GRANTED, GONE]


async def test_the_wait_that_is_told_follows_the_pace_at_which_places_come_free(stage: Stage) -> None:
    stage.bounds = BOUNDS._replace(concurrent=10)
    for ticket in "abcdefghij":
        await stage.join(ticket)
    assert await stage.wait() == 0
    for ticket in "abcd":
        stage.clock.us += 2 * SECOND
        await stage.leave(ticket)
    assert await stage.wait() == 2 * SECOND
    stage.clock.us += 5 * SECOND
    assert await stage.wait() == 5 * SECOND  # it has stalled


async def test_a_clock_that_steps_back_gives_nothing_away(stage: Stage) -> None:
    for ticket in ("r1", "r2", "c"):
        await stage.join(ticket)
    stage.clock.us -= 100 * SECOND
    assert await stage.ask("c") == (WAITING,)
    assert await stage.join("d") == WAITING
    await stage.leave("r1")
    assert await stage.ask("c", "d") == (GRANTED, WAITING)


def test_no_cost_and_no_weight_moves_a_tag_by_nothing_or_too_far() -> None:
    assert step_of(Demand("a", "standard", 1_000_000, 1)) == 1
    assert step_of(Demand("a", "standard", 1, 2**40)) == step_of(Demand("a", "standard", 1, MAX_COST)) == 2**40
