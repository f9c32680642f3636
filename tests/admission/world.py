"""One way to drive the three implementations: time in microseconds from the test, answers as plain numbers."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Literal, get_args

from tidegate.admission.cluster import ClusterRunner
from tidegate.admission.ledger import Extension, Ledger
from tidegate.admission.memory import MemoryLedger
from tidegate.admission.periods import NOMINAL
from tidegate.admission.redis import RedisLedger
from tidegate.admission.reference import Key, State, decide, fresh, key_of
from tidegate.admission.reference_holds import Taken, extend, found_at, next_number, settle
from tidegate.admission.slots import ClusterUrl
from tidegate.admission.spanning import SpanningLedger
from tidegate.model import Admission, Algorithm, Charge, Limit, LimitState, Unit

SECOND = 1_000_000
COUNTING = [algorithm for algorithm in get_args(Algorithm) if algorithm != "concurrency"]
"""What counts costs until they go by themselves; leases are given back instead."""
Resets = Literal["hour", "day", "week", "month"]


def limit(
    algorithm: Algorithm,
    capacity: int,
    refill: int = 1,
    period: float = 60.0,
    name: str = "rpm",
    scope: str = "tier:free",
    cost: Unit = "requests",
    shadow: bool = False,
    resets: Resets = "hour",
    time_zone: str = "UTC",
    per: tuple[str, ...] = (),
) -> Limit:
    """A limit of which a test names only what matters to it."""
    made = Limit(scope, name, algorithm, capacity, period, cost=cost, shadow=shadow, per=per)
    if algorithm == "token_bucket":
        return replace(made, refill=refill)
    if algorithm == "quota":
        return replace(made, period=NOMINAL[resets], resets=resets, time_zone=time_zone)
    return made


FEW = limit("token_bucket", 100)


class HandClock:
    """A clock that stands until it is moved."""

    def __init__(self, us: int = 1_000 * SECOND) -> None:
        self.us = us

    def now(self) -> float:
        return self.us / SECOND

    def monotonic(self) -> float:
        return self.us / SECOND


@dataclass
class _Held:
    expiry: int
    charges: list[tuple[Charge, Taken]]


class ReferenceLedger:
    """`reference` with a place for its states."""

    def __init__(self, clock: HandClock) -> None:
        self.clock = clock
        self.states: dict[Key, State] = {}
        self.held: dict[str, _Held] = {}

    async def reserve(self, charges: Sequence[Charge], *, hold: float | None = None) -> Admission:
        if hold is None and any(c.limit.algorithm == "concurrency" and c.cost > 0 for c in charges):
            raise ValueError("a lease needs a hold")
        before = dict(self.states)
        self.states, outcomes = decide(self.states, charges, self.clock.us)
        states = tuple(
            LimitState(c.limit, o.remaining, o.reset_us / 1e6, inf if o.retry_us is None else o.retry_us / 1e6)
            for c, o in zip(charges, outcomes, strict=True)
        )
        shadowed = tuple(s for s in states if s.limit.shadow and s.retry_after)
        states = tuple(s for s in states if not s.limit.shadow)
        refused = max((s for s in states if s.retry_after), key=lambda s: s.retry_after, default=None)
        if refused is not None or hold is None:
            return Admission(states, refused, shadowed=shadowed)
        name = secrets.token_hex(8)
        taken = []
        places: dict[Key, int] = {}
        for charge, outcome in zip(charges, outcomes, strict=True):
            if outcome.retry_us != 0:
                continue  # a shadow would have refused it, and so was not charged
            key = key_of(charge)
            number = places.setdefault(key, next_number(before.get(key, fresh(charge.limit))))
            places[key] += charge.cost > 0
            taken.append((charge, Taken(charge.cost, found_at(charge.limit, self.states[key], self.clock.us), number)))
        self.held[name] = _Held(self.clock.us + round(hold * 1e6), taken)
        return Admission(states, None, name, shadowed=shadowed)

    async def settle(self, reservation: str, costs: Mapping[str, int]) -> bool:
        held = self.held.pop(reservation, None)
        if held is None or self.clock.us >= held.expiry:
            return False
        for charge, taken in held.charges:
            if charge.limit.cost not in costs and charge.limit.algorithm != "concurrency":
                continue
            cost = costs.get(charge.limit.cost, 0)
            state = self.states.get(key_of(charge), fresh(charge.limit))
            self.states[key_of(charge)] = settle(charge.limit, state, self.clock.us, taken, cost)
        return True

    async def extend(self, reservation: str, costs: Mapping[str, int], *, hold: float) -> Extension:
        held = self.held.get(reservation)
        if held is None or self.clock.us >= held.expiry:
            return "gone"
        self.states, charges, fits = extend(self.states, held.charges, costs, self.clock.us)
        self.held[reservation] = _Held(max(held.expiry, self.clock.us + round(hold * 1e6)), charges)
        return "extended" if fits else "refused"

    async def ready(self) -> bool:
        return True

    async def close(self) -> None:
        pass


@dataclass
class Book:
    """A ledger, the clock it goes by, and how to look at it."""

    ledger: Ledger
    clock: HandClock

    async def take(self, *charges: Charge, hold: float | None = None) -> Admission:
        if hold is None and any(charge.limit.algorithm == "concurrency" for charge in charges):
            hold = 1e8
        return await self.ledger.reserve(charges, hold=hold)

    async def admits(self, *charges: Charge) -> bool:
        return (await self.take(*charges)).refused is None

    async def left(self, charged: Limit, key: str = "k") -> int:
        return (await self.take(Charge(replace(charged, shadow=False), key, 0))).states[0].remaining

    def advance(self, seconds: float) -> None:
        self.clock.us += round(seconds * SECOND)


class OneStore:
    """All places in one ledger, without breakers."""

    def __init__(self, store: RedisLedger) -> None:
        self.store = store

    def tag(self, charge: Charge) -> str:
        return self.store.tag(charge)

    def at(self, _tag: str) -> RedisLedger:
        return self.store

    def exact(self) -> bool:
        return True

    async def ready(self) -> bool:
        return await self.store.ready()

    async def close(self) -> None:
        await self.store.close()


def cluster_ledger(
    url: str, prefix: str, timeout: float = 5.0, now_us: Callable[[], int] | None = None
) -> SpanningLedger:
    """A ledger over a cluster as it is, with no breaker before it."""
    runner = ClusterRunner(ClusterUrl(url), timeout=timeout)
    return SpanningLedger(OneStore(RedisLedger(runner, prefix=prefix, now_us=now_us)))


def book(kind: str, url: str) -> Book:
    """A fresh book; one in Redis has a prefix of its own. `url` is of a Redis, or of a cluster for that."""
    clock = HandClock()
    if kind == "reference":
        return Book(ReferenceLedger(clock), clock)
    if kind == "memory":
        return Book(MemoryLedger(clock), clock)
    if kind == "cluster":
        return Book(cluster_ledger(url, secrets.token_hex(6), now_us=lambda: clock.us), clock)
    redis = RedisLedger(url, prefix=secrets.token_hex(6), timeout=5.0, now_us=lambda: clock.us)
    return Book(redis, clock)


async def until(condition: object, seconds: float = 10.0) -> None:
    """Wait for what a real process will bring about."""
    assert callable(condition)
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)
