"""Reservations of exchanges that run: extended when one costs more than was held, renewed while it lasts.

Nothing here ends an exchange but a ledger that says "refused". A store that is out cannot say it: the policy's
`on_outage` is about requests that are not admitted yet, and what runs goes on and is settled in the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Literal, Protocol

from tidegate.admission.ledger import Extension
from tidegate.envoy.allowance import Answer
from tidegate.envoy.exchange import Exchange
from tidegate.errors import StoreUnavailable

Why = Literal["growth", "renewal"]

_PARTS: Final = 3  # a renewal may fail twice before a hold lapses


class Extends(Protocol):
    """The part of a `Ledger` that is needed here."""

    async def extend(self, reservation: str, costs: Mapping[str, int], *, hold: float) -> Extension:
        """Raises `StoreUnavailable`."""
        ...


class Holds:
    """Extends and renews. `record` is told how each extension went, `on_error` what broke; `sleep` takes seconds."""

    def __init__(
        self,
        ledger: Extends,
        *,
        record: Callable[[Why, Answer], None],
        on_error: Callable[[Exception], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._ledger = ledger
        self._record = record
        self._on_error = on_error
        self._sleep = sleep

    async def extend(self, reservation: str, costs: Mapping[str, int], hold: float) -> Answer:
        """Hold `costs` (by unit) more, for `hold` seconds from now."""
        return await self._ask("growth", reservation, costs, hold)

    def keep(self, reservation: str, hold: float, lease: float) -> asyncio.Task[None]:
        """Renew for `hold` seconds, every `lease` ÷ 3, until the task is cancelled or the reservation is gone."""
        return asyncio.get_running_loop().create_task(self._renew(reservation, hold, lease))

    def follow(self, exchange: Exchange) -> asyncio.Task[None] | None:
        """`keep` what an exchange holds a place with; None where that is nothing, or it is over."""
        handoff = exchange.handoff
        if handoff is None or not handoff.reservation or not handoff.hold.lease or exchange.finished:
            return None
        return self.keep(handoff.reservation, handoff.hold.seconds, handoff.hold.lease)

    async def _renew(self, reservation: str, hold: float, lease: float) -> None:
        while True:
            await self._sleep(lease / _PARTS)
            if await self._ask("renewal", reservation, {}, hold) == "gone":
                return

    async def _ask(self, why: Why, reservation: str, costs: Mapping[str, int], hold: float) -> Answer:
        answer: Answer = "unavailable"
        try:
            answer = await self._ledger.extend(reservation, costs, hold=hold)
        except StoreUnavailable:
            pass
        except Exception as failure:  # noqa: BLE001 - what broke is no reason to end what runs
            self._on_error(failure)
        self._record(why, answer)
        return answer
