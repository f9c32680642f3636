"""A discrete-event simulation of clients at one endpoint, after the tests of Kubernetes API Priority and Fairness."""

from __future__ import annotations

import heapq
import itertools
import secrets
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from tidegate.admission.batches import ScriptRunner
from tidegate.admission.cluster import ClusterRunner
from tidegate.admission.queue.fair import GONE, GRANTED, Answer, Bounds, Waiter, step_of
from tidegate.admission.queue.places import MemoryPlaces, Places
from tidegate.admission.queue.redis import RedisPlaces
from tidegate.admission.queue.terms import RANK, Capacity, Demand, Priority
from tidegate.admission.slots import ClusterUrl

from tests.admission.world import HandClock

SECOND = 1_000_000
MS = 1_000


def places(kind: str, url: str, clock: HandClock) -> Places:
    """Lines in memory, in Redis or in a Redis Cluster, under a prefix of their own, that go by `clock`."""
    if kind == "memory":
        return MemoryPlaces(clock)
    clustered = kind == "cluster"
    runner = ClusterRunner(ClusterUrl(url), timeout=5.0) if clustered else ScriptRunner(url, timeout=5.0, max_batch=16)
    return RedisPlaces(runner, prefix=secrets.token_hex(6), now_us=lambda: clock.us)


class Lines(Protocol):
    """What `fair.Line` and the negative control have in common."""

    def join(self, now: int, bounds: Bounds, ticket: str, rank: int, tenant: str, step: int) -> Answer: ...

    def turn(self, now: int, bounds: Bounds, leaving: tuple[str, ...], mine: tuple[str, ...]) -> Answer: ...


@dataclass
class Fifo:
    """First come, first served, and a full queue drops its tail: what the fair queue must do better than."""

    held: set[str] = field(default_factory=set)
    waiting: list[Waiter] = field(default_factory=list)

    def join(self, now: int, bounds: Bounds, ticket: str, rank: int, tenant: str, step: int) -> Answer:
        self.waiting = [waiter for waiter in self.waiting if waiter.deadline > now]
        if len(self.held) < bounds.concurrent and not self.waiting:
            self.held.add(ticket)
            return Answer((GRANTED,), 0)
        if len(self.waiting) >= bounds.queue:
            return Answer((GONE,), 0)
        self.waiting.append(Waiter(ticket, rank, tenant, step, now + bounds.max_wait))
        return self._answer((ticket,))

    def turn(self, now: int, bounds: Bounds, leaving: tuple[str, ...], mine: tuple[str, ...]) -> Answer:
        self.waiting = [waiter for waiter in self.waiting if waiter.deadline > now]
        self.held -= set(leaving)
        while self.waiting and len(self.held) < bounds.concurrent:
            self.held.add(self.waiting.pop(0).ticket)
        return self._answer(mine)

    def _answer(self, tickets: tuple[str, ...]) -> Answer:
        waiting = {waiter.ticket for waiter in self.waiting}
        return Answer(tuple(2 if ticket in self.held else int(ticket in waiting) for ticket in tickets), 0)


@dataclass(frozen=True)
class Client:
    """Sends one request every `every` µs, waits for none, and runs each for `runs` µs. Costs are in tokens."""

    tenant: str
    every: int
    runs: int = 20 * MS
    priority: Priority = "standard"
    weight: int = 1
    cost: int = 1
    starts: int = 0


@dataclass
class Seen:
    """What one tenant got: requests by outcome, tokens served, waits of those who were served."""

    asked: int = 0
    served: int = 0
    tokens: int = 0
    refused: int = 0
    waits: list[int] = field(default_factory=list)


def simulate(
    line: Lines, capacity: Capacity, clients: list[Client], *, until: int, counts_from: int = 0
) -> dict[str, Seen]:
    """Play the clients against the line for `until` µs, and count what began after `counts_from`.

    One process polls for all who wait, whenever a place is given back and every 5 ms.
    """
    bounds = Bounds.of(capacity)
    seen: dict[str, Seen] = defaultdict(Seen)
    numbers = itertools.count()
    events: list[tuple[int, int, Callable[[int], None]]] = []
    waiting: dict[str, tuple[Client, int]] = {}
    running = 0

    def at(when: int, act: Callable[[int], None]) -> None:
        heapq.heappush(events, (when, next(numbers), act))

    def started(now: int, ticket: str, client: Client, since: int) -> None:
        nonlocal running
        running += 1
        if running > capacity.concurrent:
            raise RuntimeError("more run than there are places for")
        if since >= counts_from:
            mine = seen[client.tenant]
            mine.served, mine.tokens = mine.served + 1, mine.tokens + client.cost
            mine.waits.append(now - since)
        at(now + client.runs, lambda end: ended(end, ticket))

    def ended(now: int, ticket: str) -> None:
        nonlocal running
        running -= 1
        turn(now, (ticket,))

    def turn(now: int, leaving: tuple[str, ...] = ()) -> None:
        mine = tuple(waiting)
        for ticket, state in zip(mine, line.turn(now, bounds, leaving, mine).states, strict=True):
            if state == GRANTED:
                started(now, ticket, *waiting.pop(ticket))
            elif state == GONE:
                client, since = waiting.pop(ticket)
                seen[client.tenant].refused += since >= counts_from

    def arrive(now: int, client: Client) -> None:
        at(now + client.every, lambda later: arrive(later, client))
        ticket = f"t{next(numbers)}"
        demand = Demand(client.tenant, client.priority, client.weight, client.cost)
        answer = line.join(now, bounds, ticket, RANK[client.priority], client.tenant, step_of(demand))
        seen[client.tenant].asked += now >= counts_from
        if answer.states[0] == GRANTED:
            started(now, ticket, client, now)
        elif answer.states[0] == GONE:
            seen[client.tenant].refused += now >= counts_from
        else:
            waiting[ticket] = client, now

    def poll(now: int) -> None:
        turn(now)
        at(now + 5 * MS, poll)

    for client in clients:
        at(client.starts, lambda now, client=client: arrive(now, client))  # type: ignore[misc]
    at(0, poll)
    while events and events[0][0] <= until:
        now, _, act = heapq.heappop(events)
        act(now)
    return seen
