"""Places in Redis, one line an endpoint for all replicas: one script call a step, with the server's clock.

**Keys** are `prefix|{endpoint:NAME}|critical`, `…|others` and `…|line`: one slot for each endpoint, as Redis Cluster
needs it. Each has a TTL: what nobody renews is gone after its lease.

**Cost** of a step: three reads and a write or two while nobody waits. With waiters the line is read whole each time,
about 0.1 KiB each, and that is about a microsecond of Redis for each of them (measured): hence the bound on the queue.

**What is unknown after a timeout**: whether the step was taken. A place that nobody knows of lapses with its lease.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tidegate.admission.queue.fair import Answer, Bounds
from tidegate.admission.scripts import Runner, load_script

_STEP = load_script("clock.lua", "queue/fair.lua")


class RedisPlaces:
    """`Places` in Redis. All raise `StoreUnavailable`. `now_us` is for tests, as in `RedisLedger`."""

    def __init__(self, runner: Runner, *, prefix: str = "tg", now_us: Callable[[], int] | None = None) -> None:
        self._runner = runner
        self._prefix = prefix
        self._now_us = now_us
        self._keys: dict[str, tuple[bytes, ...]] = {}

    async def join(self, endpoint: str, bounds: Bounds, ticket: str, rank: int, tenant: str, step: int) -> Answer:
        """Stand in line for a place."""
        return await self._step(endpoint, "j", *_numbers(bounds), bounds.max_wait, ticket, rank, tenant, step)

    async def turn(self, endpoint: str, bounds: Bounds, leaving: Sequence[str], mine: Sequence[str]) -> Answer:
        """Give back `leaving`, and ask after `mine`."""
        return await self._step(endpoint, "t", *_numbers(bounds), len(leaving), len(mine), *leaving, *mine)

    async def renew(self, endpoint: str, ticket: str, rank: int, lease: int) -> None:
        """Keep a place for `lease` microseconds from now."""
        await self._step(endpoint, "r", lease, ticket, rank)

    async def close(self) -> None:
        """Close the connection; whoever still waits gets `StoreUnavailable`."""
        await self._runner.close()

    async def _step(self, endpoint: str, *args: str | int) -> Answer:
        keys = self._keys.get(endpoint)
        if keys is None:  # as many as the policy has endpoints
            head = f"{self._prefix}|{{endpoint:{endpoint}}}|"
            keys = self._keys[endpoint] = tuple((head + part).encode() for part in ("critical", "others", "line"))
        now = b"" if self._now_us is None else str(self._now_us()).encode()
        wait, *states = await self._runner.run(_STEP, keys, [str(arg).encode() for arg in args], now)
        return Answer(tuple(states), wait)


def _numbers(bounds: Bounds) -> tuple[int, int, int, int]:
    return bounds.concurrent, bounds.reserve, bounds.queue, bounds.lease
