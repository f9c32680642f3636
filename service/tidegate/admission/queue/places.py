"""Where places are counted: in this process, or in Redis for all replicas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tidegate.admission.queue.fair import Answer, Bounds, Line
from tidegate.clock import Clock


class Places(Protocol):
    """The lines of all endpoints; the methods are those of `fair.Line`. All raise `StoreUnavailable`."""

    async def join(self, endpoint: str, bounds: Bounds, ticket: str, rank: int, tenant: str, step: int) -> Answer:
        """Stand in line for a place."""
        ...

    async def turn(self, endpoint: str, bounds: Bounds, leaving: Sequence[str], mine: Sequence[str]) -> Answer:
        """Give back `leaving`, and ask after `mine`."""
        ...

    async def renew(self, endpoint: str, ticket: str, rank: int, lease: int) -> None:
        """Keep a place for `lease` microseconds from now."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...


class MemoryPlaces:
    """Lines of one process: exact for it, and the share of one replica while the store is out.

    `here` is what tickets call this process. Envoy may have an exchange end at another process than it began at, which
    then gives back a place of its own in its stead: so what all of them hold together comes out right, as long as
    exchanges go both ways.

    Memory: about 0.2 KiB a place or waiter, and a debt for each of 256 tenants of a class at most.
    """

    def __init__(self, clock: Clock, here: str = "m") -> None:
        self._clock = clock
        self._here = here
        self._lines: dict[str, Line] = {}

    async def join(self, endpoint: str, bounds: Bounds, ticket: str, rank: int, tenant: str, step: int) -> Answer:
        """Stand in line for a place."""
        line = self._lines.setdefault(endpoint, Line())
        return line.join(self._now(), bounds, ticket, rank, tenant, step)

    async def turn(self, endpoint: str, bounds: Bounds, leaving: Sequence[str], mine: Sequence[str]) -> Answer:
        """Give back `leaving`, and ask after `mine`."""
        line = self._lines.setdefault(endpoint, Line())
        leaving = [self._in_stead_of(ticket, line) for ticket in leaving]
        return line.turn(self._now(), bounds, leaving, mine)

    async def renew(self, endpoint: str, ticket: str, rank: int, lease: int) -> None:
        """Keep a place for `lease` microseconds from now."""
        self._lines.setdefault(endpoint, Line()).renew(self._now(), ticket, rank, lease)

    async def close(self) -> None:
        """Forget everything."""
        self._lines.clear()

    def _in_stead_of(self, ticket: str, line: Line) -> str:
        where, _, rest = ticket.partition(".")
        held = line.held[not rest.startswith("0")]
        if where == self._here or not where.startswith("m") or ticket in held:
            return ticket
        return min(held, key=held.__getitem__, default=ticket)

    def _now(self) -> int:
        return round(self._clock.monotonic() * 1e6)
