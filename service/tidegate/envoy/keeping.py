"""What is kept for an exchange while it runs, and settled, given back and put on record however it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from tidegate.envoy.allowance import Answer
from tidegate.envoy.commands import Extend
from tidegate.envoy.exchange import Exchange
from tidegate.envoy.hold_back import HoldBack, unmeasured
from tidegate.envoy.holds import Holds
from tidegate.envoy.places import Places
from tidegate.envoy.running import Running
from tidegate.envoy.settle import Settlements
from tidegate.envoy.terms import Terms

if TYPE_CHECKING:
    from tidegate.tracing import Traces


class Keeping:
    """For all exchanges of a process, whoever carries them through.

    `record` is told of each that ended, and its request's id; `live` that one more runs (+1), or one less. `terms` look
    after those that hang on a credential, `hold_back` makes what times one, `traces` are told of each that ended.
    """

    def __init__(
        self,
        *,
        settlements: Settlements,
        holds: Holds,
        places: Places,
        record: Callable[[Exchange, str], None] = lambda _exchange, _id: None,
        live: Callable[[int], None] = lambda _change: None,
        terms: Terms | None = None,
        hold_back: Callable[[], HoldBack] = unmeasured,
        traces: Traces | None = None,
    ) -> None:
        self.settlements = settlements
        self.holds = holds
        self.places = places
        self.record = record
        self.running = Running(live)
        self.terms = terms or Terms(lambda *_: "", on_error=lambda _: None)
        self.hold_back = hold_back
        self.traces = traces

    def open(self, exchange: Exchange, interrupt: Callable[[], None] = lambda: None) -> Kept:
        """Begin with one. `interrupt` ends it where its credential is over and nothing comes; see `Terms`."""
        return Kept(self, exchange, interrupt)

    async def extend(self, wanted: Extend) -> Answer:
        """What the ledger says to it."""
        return await self.holds.extend(wanted.reservation, wanted.costs, wanted.hold)

    async def drained(self, timeout: float = 1.0) -> None:
        """Wait for exchanges that were told to stop (at most `timeout` seconds), then for all that they left to do."""
        await self.running.idle(timeout)
        await self.settlements.drained()
        await self.places.drained()


class Kept:
    """One exchange's. Its `term` says why it has to end, `waits` times its text."""

    __slots__ = ("_exchange", "_keeping", "_renewal", "_started", "_tenure", "term", "waits")

    def __init__(self, keeping: Keeping, exchange: Exchange, interrupt: Callable[[], None]) -> None:
        self._keeping = keeping
        self._exchange = exchange
        self._tenure = keeping.places.open()
        self._renewal: asyncio.Task[None] | None = None
        self._started = 0.0 if keeping.traces is None else keeping.traces.now()
        self.term = keeping.terms.open(interrupt)
        self.waits = keeping.hold_back()
        keeping.running.begin()

    def follow(self) -> None:
        """After each step: what it runs on is kept from when it is known until it is finished."""
        self.term.follow(self._exchange)
        self._tenure.follow(self._exchange)
        if self._renewal is None:
            self._renewal = self._keeping.holds.follow(self._exchange)

    def settle(self) -> None:
        """Before its last bytes leave: a client that has them finds its limits settled and its place free."""
        self._keeping.settlements.follow(self._exchange)
        self._tenure.follow(self._exchange)

    def close(self, request_id: str = "") -> None:
        """It is over, whichever way. `request_id` is its request's, where nobody has handed over a decision."""
        keeping, exchange = self._keeping, self._exchange
        self.term.close()
        if self._renewal is not None:
            self._renewal.cancel()
        exchange.lost()
        self.settle()
        keeping.running.end()
        self.waits.over()
        keeping.record(exchange, exchange.handoff.request_id if exchange.handoff else request_id)
        if keeping.traces is not None:
            keeping.traces.processed(exchange, self._started)
