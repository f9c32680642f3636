"""The order of service at one endpoint, without a clock or I/O: integer microseconds, integer virtual time.

`fair.lua` takes the same steps on Redis and must give the same answers.

**Between classes** the order is strict: critical, standard, sheddable. Places of the reserve go to critical exchanges
only, so one of them is never behind long exchanges of others while fewer than `reserve` critical ones run.

**Within a class** tenants share by weight: start-time fair queueing (Goyal, Vin, Cheng, SIGCOMM 1996) with as many in
service as there are places, SFQ(D) (Jin, Chase, Kaur, SIGMETRICS 2004). Each tenant has a start tag; the waiting tenant
with the smallest is served and its tag moves on by cost / weight; a tenant that had nothing waiting starts at virtual
time, which is the tag of whoever was served last. So a tenant's share follows its weight whatever its rate, one that
comes seldom is served next, and nobody saves up service by staying away. Kept here are *debts*, tag less virtual time:
all that matters of them, and never large. A tag belongs to the tenant and not to each of its waiters, so one that
leaves takes nothing along. Requests of one tenant are served as they came. When nobody runs or waits, debts are
forgotten. While tenants without a debt keep coming, virtual time stands and debts add up; of more than `MAX_DEBTS` in a
class the smallest are forgiven, so whoever owes most still waits, and a step costs no more for ten thousand tenants.

**A full queue** drops the waiter that would be served last, which may be the one that just came: the last in the lowest
class of the tenant with the longest virtual backlog (as in Demers, Keshav, Shenker, SIGCOMM 1989). So one who floods
pushes out its own, and sheddable goes before anything else.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from tidegate.admission.queue.terms import RANK, Capacity, Demand

SCALE: Final = 2**20
"""Virtual time that one unit of cost takes at weight 1."""
MAX_COST: Final = 2**20
"""A larger cost counts as this, so that sums over a full queue stay exact in Lua's doubles."""
MAX_DEBTS: Final = 256
"""How many tenants of a class owe something at the most."""
CLAIM_US: Final = 1_000_000
"""How long after its deadline a waiter that was granted a place may still fetch it: its replica may have died."""
_MAX_PAUSE: Final = 60_000_000
_SMOOTH: Final = 8

GONE, WAITING, GRANTED = 0, 1, 2
"""How a ticket stands."""


class Bounds(NamedTuple):
    """A `Capacity` in whole numbers; times are microseconds."""

    concurrent: int
    reserve: int
    queue: int
    lease: int
    max_wait: int

    @classmethod
    def of(cls, capacity: Capacity) -> Bounds:
        """The same in integers."""
        lease, wait = round(capacity.lease * 1e6), round(capacity.max_wait * 1e6)
        return cls(capacity.concurrent, capacity.reserve, capacity.queue, lease, wait)


CLOSED: Final = Bounds(0, 0, 0, 0, 0)
"""Bounds under which nobody is granted anything: for those who only leave."""


class Waiter(NamedTuple):
    """One who waits: `step` is how far its service moves its tenant's tag; `deadline` in microseconds."""

    ticket: str
    rank: int
    tenant: str
    step: int
    deadline: int


class Answer(NamedTuple):
    """How tickets stand, and how long one who came now and waited for its turn would, microseconds (0: unknown)."""

    states: tuple[int, ...]
    wait: int


def step_of(demand: Demand) -> int:
    """How far serving `demand` moves its tenant's start tag."""
    return max(1, min(demand.cost, MAX_COST) * SCALE // demand.weight)


@dataclass(slots=True)
class Line:
    """Places held and waiters of one endpoint. Every method is one step at `now`; lapsed places and waiters go first.

    `held` are the expiries of places by ticket: [0] of critical exchanges, [1] of others. `debts` are by class, then
    tenant. `gap` is the smoothed time between places given back, `left` when the last one was.
    """

    held: tuple[dict[str, int], dict[str, int]] = field(default_factory=lambda: ({}, {}))
    waiting: list[Waiter] = field(default_factory=list)
    debts: tuple[dict[str, int], ...] = field(default_factory=lambda: tuple({} for _ in RANK))
    gap: int = 0
    left: int = 0
    _lapse: int = 0  # nothing held lapses before this

    def join(self, now: int, bounds: Bounds, ticket: str, rank: int, tenant: str, step: int) -> Answer:
        """Stand in line; the ticket is GRANTED, WAITING, or GONE when the queue is full of better ones."""
        self._purge(now)
        self.waiting.append(Waiter(ticket, rank, tenant, step, now + bounds.max_wait))
        self._grant(now, bounds, (ticket,))
        while len(self.waiting) > bounds.queue:
            del self.waiting[self._last()]
        return self._answer(now, (ticket,))

    def turn(self, now: int, bounds: Bounds, leaving: Sequence[str], mine: Sequence[str]) -> Answer:
        """Give back or stop waiting for `leaving`, then say how the tickets `mine` stand, a full lease for the granted.

        A place for somebody else is kept until its replica asks, or `CLAIM_US` after its deadline.
        """
        self._purge(now)
        for ticket in leaving:
            self._leave(now, ticket)
        self._grant(now, bounds, mine)
        for ticket in mine:
            for rank, held in enumerate(self.held):
                if ticket in held:
                    self._hold(ticket, rank, now + bounds.lease)
        return self._answer(now, mine)

    def renew(self, now: int, ticket: str, rank: int, lease: int) -> None:
        """Keep a place for `lease` from now. One that had lapsed counts again: its exchange runs, room or not."""
        self._purge(now)
        self._drop(ticket)
        self._hold(ticket, rank, now + lease)

    def _purge(self, now: int) -> None:
        if now >= self._lapse:
            for held in self.held:
                for ticket in [ticket for ticket, expiry in held.items() if expiry <= now]:
                    del held[ticket]
            self._lapse = min([expiry for held in self.held for expiry in held.values()], default=0)
        if self.waiting:
            self.waiting = [waiter for waiter in self.waiting if waiter.deadline > now]

    def _hold(self, ticket: str, rank: int, expiry: int) -> None:
        self.held[rank > 0][ticket] = expiry
        self._lapse = min(self._lapse, expiry)

    def _leave(self, now: int, ticket: str) -> None:
        for held in self.held:
            if held.pop(ticket, None) is not None:
                if self.left:
                    pause = max(0, min(now - self.left, _MAX_PAUSE))
                    self.gap += (pause - self.gap) // _SMOOTH if self.gap else pause
                self.left = now
                return
        self._drop(ticket)

    def _drop(self, ticket: str) -> None:
        self.waiting = [waiter for waiter in self.waiting if waiter.ticket != ticket]

    def _grant(self, now: int, bounds: Bounds, mine: Collection[str]) -> None:
        while self.waiting:
            rank = min([waiter.rank for waiter in self.waiting])
            critical, others = map(len, self.held)
            if critical + others >= bounds.concurrent or (rank and others >= bounds.concurrent - bounds.reserve):
                return
            waiter = self._next(rank)
            self.waiting.remove(waiter)
            expiry = now + bounds.lease if waiter.ticket in mine else waiter.deadline + CLAIM_US
            self._hold(waiter.ticket, rank, expiry)

    def _next(self, rank: int) -> Waiter:
        """The first waiter of the tenant with the least debt, which becomes the virtual time."""
        debts = self.debts[rank]
        heads: dict[str, Waiter] = {}
        for waiter in self.waiting:
            if waiter.rank == rank:
                heads.setdefault(waiter.tenant, waiter)
        head = min(heads.values(), key=lambda waiter: debts.get(waiter.tenant, 0))
        least = debts.get(head.tenant, 0)
        for tenant, debt in tuple(debts.items()):
            if debt > least:
                debts[tenant] = debt - least
            else:
                del debts[tenant]
        if len(debts) >= MAX_DEBTS:
            fewest = min(debts.values())
            for tenant in [tenant for tenant, debt in debts.items() if debt == fewest]:
                del debts[tenant]
        debts[head.tenant] = head.step
        return head

    def _last(self) -> int:
        """Where the waiter stands that would be served last: of those with the same tag, the one who came last."""
        rank = max([waiter.rank for waiter in self.waiting])
        tags = dict(self.debts[rank])
        found, latest = 0, -1
        for index, waiter in enumerate(self.waiting):
            if waiter.rank == rank:
                tag = tags.get(waiter.tenant, 0)
                tags[waiter.tenant] = tag + waiter.step
                if tag >= latest:
                    found, latest = index, tag
        return found

    def _answer(self, now: int, tickets: Sequence[str]) -> Answer:
        waiting = {waiter.ticket for waiter in self.waiting}
        states = tuple(
            GRANTED if any(ticket in held for held in self.held) else WAITING if ticket in waiting else GONE
            for ticket in tickets
        )
        pause = max(self.gap, min(now - self.left, _MAX_PAUSE)) if self.gap else 0
        answer = Answer(states, min(_MAX_PAUSE, (len(self.waiting) + 1) * pause))
        if not self.waiting and not any(self.held):
            for debts in self.debts:
                debts.clear()
            self.gap = self.left = 0
        return answer
