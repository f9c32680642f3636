"""Waiting for a place: one call where there is room, and while there is none one call for all who wait, every 5 ms."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, Literal, NamedTuple, Protocol

from tidegate.admission.queue.fair import CLOSED, GONE, GRANTED, WAITING, Bounds, step_of
from tidegate.admission.queue.places import Places
from tidegate.admission.queue.terms import RANK, Capacity, Demand, Overload, Place, Priority, Ticket
from tidegate.clock import Clock
from tidegate.errors import StoreUnavailable

_SLACK: Final = 0.05
"""How much longer than it should one waits at the most, seconds, whatever the store's clock says."""

Outcome = Literal["granted", "full", "shed", "late", "left", "unavailable"]


class Queue(Protocol):
    """The capacity of endpoints. All raise `StoreUnavailable` when nobody can say who has a place."""

    async def join(self, endpoint: str, capacity: Capacity, demand: Demand) -> Place | Overload:
        """A place, after at most `capacity.max_wait` seconds, or why there is none. Who is cancelled has left."""
        ...

    async def renew(self, endpoint: str, ticket: str) -> None:
        """Keep the place of a ticket for another lease. Raises ValueError for what is no ticket."""
        ...

    async def leave(self, endpoint: str, ticket: str) -> None:
        """Give the place of a ticket back: once is enough, twice does no harm. A cancelled caller has left, too."""
        ...

    async def close(self) -> None:
        """Release connections; who still waits gets `StoreUnavailable`."""
        ...


class Observer(Protocol):
    """Is told who waits, and how it went."""

    def waiting(self, endpoint: str, priority: Priority, change: int) -> None:
        """One more waits here (+1), or one less (-1)."""
        ...

    def queued(self, endpoint: str, priority: Priority, outcome: Outcome, seconds: float) -> None:
        """One who asked for a place got it, or did not, after so long."""
        ...


class Unobserved:
    """Tells nobody."""

    def waiting(self, endpoint: str, priority: Priority, change: int) -> None:
        """Nothing."""

    def queued(self, endpoint: str, priority: Priority, outcome: Outcome, seconds: float) -> None:
        """Nothing."""


class _Told(NamedTuple):
    """What one waits for: the state of its ticket and the wait of the next (µs); and until when, by our clock."""

    future: asyncio.Future[tuple[int, int]]
    until: float


class _Room:
    """Those of this process who wait for one endpoint, and who asks for them."""

    __slots__ = ("asking", "bounds", "waiting")

    def __init__(self) -> None:
        self.bounds = CLOSED
        self.waiting: dict[str, _Told] = {}
        self.asking: asyncio.Task[None] | None = None


class FairQueue:
    """A `Queue` on `places`, which `where` names in tickets (see `Ticket`).

    It asks every `every` seconds while somebody waits.
    """

    def __init__(
        self,
        places: Places,
        clock: Clock,
        *,
        where: str,
        every: float = 0.005,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        observer: Observer | None = None,
    ) -> None:
        self._places = places
        self._clock = clock
        self._where = where
        self._every = every
        self._sleep = sleep
        self._observer = observer or Unobserved()
        self._rooms: dict[str, _Room] = {}
        self._leaving: set[asyncio.Task[None]] = set()

    async def join(self, endpoint: str, capacity: Capacity, demand: Demand) -> Place | Overload:
        """A place, or why there is none."""
        began = self._clock.monotonic()
        outcome: Outcome = "left"
        try:
            place = await self._join(endpoint, capacity, demand, began)
            outcome = place.why if isinstance(place, Overload) else "granted"
        except StoreUnavailable:
            outcome = "unavailable"
            raise
        finally:
            self._observer.queued(endpoint, demand.priority, outcome, self._clock.monotonic() - began)
        return place

    async def renew(self, endpoint: str, ticket: str) -> None:
        """Keep a place for another lease."""
        said = Ticket.parse(ticket)
        await self._places.renew(endpoint, ticket, said.rank, round(said.lease * 1e6))

    async def leave(self, endpoint: str, ticket: str) -> None:
        """Give a place back, and see at once who of those here gets it."""
        room = self._rooms.get(endpoint)
        try:
            if room is None:  # whoever waits elsewhere asks soon, and knows the capacity
                await self._places.turn(endpoint, CLOSED, (ticket,), ())
            else:
                await self._turn(endpoint, room, (ticket,))
        except asyncio.CancelledError:
            self._leave_soon(endpoint, ticket)
            raise

    async def close(self) -> None:
        """Fail those who wait, let those who leave leave, and close the places."""
        for room in tuple(self._rooms.values()):
            if room.asking is not None:
                room.asking.cancel()
                await asyncio.wait([room.asking])
        if self._leaving:
            await asyncio.wait(tuple(self._leaving))
        await self._places.close()

    async def _join(self, endpoint: str, capacity: Capacity, demand: Demand, began: float) -> Place | Overload:
        rank = RANK[demand.priority]
        ticket = Ticket(self._where, rank, capacity.lease).text(secrets.token_urlsafe(12))
        bounds = Bounds.of(capacity)
        try:
            answer = await self._places.join(endpoint, bounds, ticket, rank, demand.tenant, step_of(demand))
            state, wait = answer.states[0], answer.wait
            why: Literal["full", "shed", "late"] = "full"
            if state == WAITING:
                state, wait = await self._wait(endpoint, bounds, ticket, demand.priority)
                why = "late" if self._clock.monotonic() - began >= capacity.max_wait else "shed"
        except (asyncio.CancelledError, StoreUnavailable):
            self._leave_soon(endpoint, ticket)  # it may have been granted a place, and nobody would know
            raise
        return Place(endpoint, ticket) if state == GRANTED else Overload(why, _seconds(wait))

    async def _wait(self, endpoint: str, bounds: Bounds, ticket: str, priority: Priority) -> tuple[int, int]:
        room = self._rooms.setdefault(endpoint, _Room())
        room.bounds = bounds
        told: asyncio.Future[tuple[int, int]] = asyncio.get_running_loop().create_future()
        room.waiting[ticket] = _Told(told, self._clock.monotonic() + bounds.max_wait / 1e6 + _SLACK)
        if room.asking is None:
            room.asking = asyncio.create_task(self._ask(endpoint, room))
        self._observer.waiting(endpoint, priority, 1)
        try:
            return await told
        finally:
            room.waiting.pop(ticket, None)
            self._observer.waiting(endpoint, priority, -1)

    async def _ask(self, endpoint: str, room: _Room) -> None:
        failure = StoreUnavailable("closed")
        try:
            while room.waiting:
                await self._sleep(self._every)
                await self._turn(endpoint, room, ())
        except StoreUnavailable as error:
            failure = error
        finally:
            room.asking = None
            self._rooms.pop(endpoint, None)
            for told in room.waiting.values():
                if not told.future.done():
                    told.future.set_exception(failure)

    async def _turn(self, endpoint: str, room: _Room, leaving: tuple[str, ...]) -> None:
        mine = tuple(room.waiting)
        answer = await self._places.turn(endpoint, room.bounds, leaving, mine)
        for ticket, state in zip(mine, answer.states, strict=True):
            told = room.waiting.get(ticket)
            if told is None or told.future.done():
                continue
            if state != WAITING:
                told.future.set_result((state, answer.wait))
            elif self._clock.monotonic() >= told.until:
                told.future.set_result((GONE, answer.wait))
                self._leave_soon(endpoint, ticket)

    def _leave_soon(self, endpoint: str, ticket: str) -> None:
        task = asyncio.create_task(self._leave_quietly(endpoint, ticket))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _leave_quietly(self, endpoint: str, ticket: str) -> None:
        with suppress(StoreUnavailable):  # then its deadline or its lease ends it
            await self.leave(endpoint, ticket)


def _seconds(wait: int) -> float:
    return max(1.0, wait / 1e6)
