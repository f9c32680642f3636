"""Redis gives the answers of `fair.Line`, for any sequence of steps and times."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tidegate.admission.queue.fair import GONE, GRANTED, Bounds, step_of
from tidegate.admission.queue.places import Places
from tidegate.admission.queue.terms import MAX_QUEUE, Demand

from tests.admission.queue.world import MS, SECOND, places
from tests.admission.world import HandClock

BOUNDS = (
    Bounds(3, 1, 4, 2 * SECOND, 100 * MS),
    Bounds(2, 0, 2, 5 * SECOND, SECOND),
    Bounds(5, 2, 0, SECOND, 50 * MS),
)
TENANTS = ("a", "b", "1", "t|x")


@dataclass(frozen=True)
class Join:
    bounds: Bounds
    rank: int
    tenant: str
    weight: int
    cost: int


@dataclass(frozen=True)
class Turn:
    bounds: Bounds
    leaving: tuple[int, ...]
    mine: tuple[int, ...]


@dataclass(frozen=True)
class Renew:
    which: int
    lease: int


@dataclass(frozen=True)
class Pass:
    us: int


Step = Join | Turn | Renew | Pass
_which = st.integers(0, 30)
_weights = st.sampled_from([1, 1, 3, 10, 1_000_000])
_costs = st.integers(1, 50) | st.sampled_from([1, 5000, 2**40])
joins = st.builds(Join, st.sampled_from(BOUNDS), st.integers(0, 2), st.sampled_from(TENANTS), _weights, _costs)
turns = st.builds(
    Turn,
    st.sampled_from(BOUNDS),
    st.lists(_which, max_size=3).map(tuple),
    st.lists(_which, max_size=5, unique=True).map(tuple),
)
renewals = st.builds(Renew, _which, st.integers(1, 3 * SECOND))
times = st.builds(Pass, st.integers(0, 200 * MS) | st.sampled_from([1, SECOND, 70 * SECOND]) | st.integers(-SECOND, 0))


async def play(played: Places, clock: HandClock, steps: list[Step]) -> list[object]:
    seen: list[object] = []
    ranks: list[int] = []
    for one in steps:
        match one:
            case Pass(us):
                clock.us += us
            case Join(bounds, rank, tenant, weight, cost):
                step = step_of(Demand(tenant, "standard", weight, cost))
                seen.append(await played.join("chat", bounds, f"t{len(ranks)}", rank, tenant, step))
                ranks.append(rank)
            case Turn(bounds, leaving, mine):
                left, asked = ([f"t{which}" for which in listed] for listed in (leaving, mine))
                seen.append(await played.turn("chat", bounds, left, asked))
            case Renew(which, lease) if ranks:
                which %= len(ranks)
                await played.renew("chat", f"t{which}", ranks[which], lease)
    everybody = [f"t{which}" for which in range(len(ranks))]
    seen.append(await played.turn("chat", BOUNDS[0], (), everybody))
    return seen


async def _agree(url: str, steps: list[Step]) -> None:
    clocks = HandClock(), HandClock()
    redis = places("redis", url, clocks[0])
    try:
        assert await play(redis, clocks[0], steps) == await play(places("memory", "", clocks[1]), clocks[1], steps)
    finally:
        await redis.close()


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(joins | joins | turns | turns | renewals | times, min_size=12, max_size=80))
def test_redis_agrees(redis_url: str, steps: list[Step]) -> None:
    asyncio.run(_agree(redis_url, steps))


def test_redis_agrees_on_the_longest_line_of_the_dearest(redis_url: str) -> None:
    bounds = Bounds(1, 0, MAX_QUEUE, SECOND, SECOND)
    steps: list[Step] = [Join(bounds, 1, f"t{number % 2}", 1, 2**40) for number in range(MAX_QUEUE + 40)]
    steps += [Turn(bounds, (number,), tuple(range(number, number + 60))) for number in range(6)]
    asyncio.run(_agree(redis_url, steps))


async def test_redis_agrees_on_whom_it_forgives_of_a_thousand_tenants(redis_url: str) -> None:
    bounds, clock, chance = Bounds(2, 0, 8, 60 * SECOND, 60 * SECOND), HandClock(), Random(7)
    lines = [places(kind, redis_url, clock) for kind in ("memory", "redis")]
    here: list[str] = []
    running: list[str] = []
    for number in range(1_500):
        ticket, tenant = f"t{number}", str(number if number % 5 else chance.randrange(number + 1))
        step = step_of(Demand(tenant, "standard", 1, chance.randrange(1, 900)))
        one, other = [await line.join("chat", bounds, ticket, 1, tenant, step) for line in lines]
        assert one == other
        here.append(ticket)
        leaving = running[:1] if number > 10 else []
        one, other = [await line.turn("chat", bounds, leaving, here) for line in lines]
        assert one == other
        running = [ticket for ticket, state in zip(here, one.states, strict=True) if state == GRANTED]
        here = [ticket for ticket, state in zip(here, one.states, strict=True) if state != GONE]
    for line in lines:
        await line.close()
