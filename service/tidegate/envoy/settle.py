"""Settlements on their way to the limit store: beside the responses, which never wait for them or fail with them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal

from tidegate.envoy.exchange import Exchange
from tidegate.envoy.metering import Settlement
from tidegate.errors import StoreUnavailable

Outcome = Literal["settled", "late", "unavailable", "failed"]


class Settlements:
    """Settles each reservation in a task of its own, so that nothing that ends a stream can end its settlement.

    `record` is told how each went: "late" when the reservation had expired (what was reserved stands), "unavailable"
    when the store did not answer (the same), "failed" when something broke, which `on_error` is told too. `over` is
    told by how much a settled cost was more than had been held.
    """

    def __init__(
        self,
        settle: Callable[[str, Mapping[str, int]], Awaitable[bool]],
        *,
        record: Callable[[Outcome, int], None],
        on_error: Callable[[Exception], None],
        over: Callable[[str, int], None] = lambda _unit, _amount: None,
    ) -> None:
        self._settle = settle
        self._record = record
        self._on_error = on_error
        self._over = over
        self._running: set[asyncio.Task[None]] = set()

    def follow(self, exchange: Exchange) -> None:
        """Begin to settle an exchange whose time has come: before its last bytes leave, so who has them finds it so."""
        if (settlement := exchange.settlement()) is not None:
            self.start(settlement)

    def start(self, settlement: Settlement) -> None:
        """Begin to settle; returns at once."""
        task = asyncio.get_running_loop().create_task(self._carry_out(settlement))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def drained(self) -> None:
        """Wait until all that were begun are over."""
        while self._running:
            await asyncio.wait(tuple(self._running))

    async def _carry_out(self, settlement: Settlement) -> None:
        outcome: Outcome = "failed"
        try:
            settled = await self._settle(settlement.reservation, settlement.costs)
            outcome = "settled" if settled else "late"
            for unit, amount in settlement.over if settled else ():
                self._over(unit, amount)
        except StoreUnavailable:
            outcome = "unavailable"
        except Exception as failure:  # noqa: BLE001 - nobody awaits this task but `drained`
            self._on_error(failure)
        finally:
            self._record(outcome, settlement.lies)
