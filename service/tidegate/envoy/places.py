"""Places that exchanges take in the capacity of their endpoints: kept while a response runs, given back at its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Literal

from tidegate.admission.queue.fair_queue import Queue
from tidegate.admission.queue.terms import Ticket
from tidegate.envoy.exchange import Exchange
from tidegate.errors import StoreUnavailable

Step = Literal["renew", "leave"]

_RENEWALS: Final = 3
"""How often a place is renewed in its lease."""


class Places:
    """Carries out the steps of all streams in tasks of their own, so that nothing that ends a stream can end them.

    `record` is told of each step whether the store answered; when it does not, the place lapses with its lease.
    """

    def __init__(
        self, queue: Queue, *, record: Callable[[Step, bool], None], on_error: Callable[[Exception], None]
    ) -> None:
        self._queue = queue
        self._record = record
        self._on_error = on_error
        self._running: set[asyncio.Task[None]] = set()

    def open(self) -> Tenure:
        """For one stream."""
        return Tenure(self)

    def renew(self, endpoint: str, ticket: str) -> None:
        """Begin to renew; returns at once."""
        self._start("renew", self._queue.renew, endpoint, ticket)

    def leave(self, endpoint: str, ticket: str) -> None:
        """Begin to give back; returns at once."""
        self._start("leave", self._queue.leave, endpoint, ticket)

    async def drained(self) -> None:
        """Wait until all steps that were begun are over."""
        while self._running:
            await asyncio.wait(tuple(self._running))

    def _start(self, step: Step, take: Callable[[str, str], Awaitable[None]], endpoint: str, ticket: str) -> None:
        task = asyncio.get_running_loop().create_task(self._carry_out(step, take, endpoint, ticket))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _carry_out(
        self, step: Step, take: Callable[[str, str], Awaitable[None]], endpoint: str, ticket: str
    ) -> None:
        try:
            await take(endpoint, ticket)
            self._record(step, True)
        except StoreUnavailable:
            self._record(step, False)
        except Exception as failure:  # noqa: BLE001 - nobody awaits this task but `drained`
            self._on_error(failure)


class Tenure:
    """One stream's place, if its exchange has one. Call `follow` after every step of the exchange."""

    __slots__ = ("_over", "_places", "_renewal", "_ticket")

    def __init__(self, places: Places) -> None:
        self._places = places
        self._ticket = ("", "")
        self._renewal: asyncio.TimerHandle | None = None
        self._over = False

    def follow(self, exchange: Exchange) -> None:
        """Keep the place from when the exchange is known until it is finished."""
        if self._over or exchange.handoff is None:
            return
        if not exchange.handoff.ticket:
            self._over = True
            return
        self._ticket = exchange.handoff.endpoint, exchange.handoff.ticket
        if exchange.finished:
            self._over = True
            if self._renewal is not None:
                self._renewal.cancel()
            self._places.leave(*self._ticket)
        elif self._renewal is None:
            self._renew_later()

    def _renew_later(self) -> None:
        lease = Ticket.parse(self._ticket[1]).lease
        self._renewal = asyncio.get_running_loop().call_later(lease / _RENEWALS, self._renew)

    def _renew(self) -> None:
        self._places.renew(*self._ticket)
        self._renew_later()
