"""What a tenant has used, read from Redis while the service runs, and reset there.

The keys of a tenant are found by SCAN, which walks the whole database in small steps and stops nobody. How they stand
is asked of the script that decides, by a charge of 0: there is no second reading of the arithmetic. What tenants share
belongs to none of them and is not found.

A reset takes a limit's key and what reservations hold of it in one step, so a later settlement gives back nothing that
was charged after the reset. No replica is told: one that refused just now may repeat it for as long as `denials` says.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib.resources import files
from typing import Any, NamedTuple

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, RedisError

from tidegate.admission.cluster import ClusterRunner
from tidegate.admission.keys import LimitKey, parse, tenant_pattern
from tidegate.admission.open import CLUSTER
from tidegate.admission.redis import RedisLedger
from tidegate.admission.slots import ClusterUrl
from tidegate.clock import Clock
from tidegate.errors import StoreUnavailable
from tidegate.model import Charge, Limit

_TIMEOUT = 5.0  # seconds
_AT_ONCE = 64
_SCANNED = 1000
_ROOMY = 2**45  # over all that is ever counted under one key


class Live(NamedTuple):
    """One key of a limit as it stands. `of` is what it counts by, beside the tenant, as `charges.render`ed.

    `used` are units that count now, reserved ones among them; a settlement may have taken it over the capacity.
    `reset_after` is seconds until nothing counts any more. `held` units are reserved, by `reservations` (their keys).
    """

    limit: Limit
    of: Mapping[str, str]
    used: int
    reset_after: float
    held: int
    reservations: tuple[str, ...]
    key: str

    @property
    def remaining(self) -> int:
        """Whole units left."""
        return max(0, self.limit.capacity - self.used)


class LiveLimits:
    """The state of `limits` in the Redis at `url`. Everything raises `StoreUnavailable` when it does not answer.

    An asynchronous context manager, which ends with its connections.
    """

    def __init__(self, url: str, limits: Iterable[Limit], *, clock: Clock, prefix: str = "tg") -> None:
        self._limits = {
            (limit.scope, limit.name, limit.algorithm, limit.cost): (place, limit) for place, limit in enumerate(limits)
        }
        self._prefix = prefix
        self._client: Redis | RedisCluster
        if url.startswith(CLUSTER):
            cluster = ClusterUrl(url)
            self._ledger = RedisLedger(ClusterRunner(cluster, timeout=_TIMEOUT), prefix=prefix, clock=clock)
            seeds = [ClusterNode(host, int(port)) for host, _, port in (seed.rpartition(":") for seed in cluster.seeds)]
            self._client = RedisCluster.from_url(
                cluster.node(cluster.seeds[0]), startup_nodes=seeds, socket_timeout=_TIMEOUT
            )
        else:
            self._ledger = RedisLedger(url, prefix=prefix, timeout=_TIMEOUT, clock=clock)
            self._client = Redis.from_url(
                url, socket_timeout=_TIMEOUT, socket_connect_timeout=_TIMEOUT, retry=Retry(NoBackoff(), 0)
            )
        self._held = self._client.register_script(files(__package__).joinpath("held.lua").read_text())
        self._forget = self._client.register_script(files(__package__).joinpath("forget.lua").read_text())

    async def __aenter__(self) -> LiveLimits:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._ledger.close()
        await self._client.aclose()

    async def of_tenant(self, tenant: str) -> list[Live]:
        """Every key of `tenant` on one of the limits, in the order of the limits."""
        limits: list[tuple[int, str, Limit, str, Mapping[str, str]]] = []
        reservations: list[str] = []
        with _unavailable():
            async for name in self._client.scan_iter(tenant_pattern(self._prefix, tenant), _SCANNED):
                key = name.decode("utf-8", "surrogatepass")
                read = parse(self._prefix, key)
                if read is None:
                    if "}|hold|" in key:
                        reservations.append(key)
                elif read[:4] in self._limits:
                    place, limit = self._limits[read[:4]]
                    with suppress(ValueError):  # the limit counts by something else now: nobody looks here any more
                        limits.append((place, key, limit, read.key_of(limit), _of(read, limit)))
            holds = await self._holds(reservations)
        live: list[Live] = []
        limits.sort(key=lambda found: found[:2])
        for some in _pieces(limits):
            looks = [Charge(replace(limit, capacity=_ROOMY, shadow=False), of, 0) for _, _, limit, of, _ in some]
            states = (await self._ledger.reserve(looks)).states
            for (_, key, limit, _, of), state in zip(some, states, strict=True):
                held = holds.get(key, {})
                used = _ROOMY - state.remaining
                live.append(Live(limit, of, used, state.reset_after, sum(held.values()), tuple(held), key))
        return [one for one in live if one.used or one.reservations]

    async def reset(self, live: Iterable[Live]) -> int:
        """Set keys back to unused; how many were still in use."""
        with _unavailable():
            return sum([int(await self._forget(keys=[one.key, *one.reservations])) for one in live])

    async def _holds(self, reservations: Sequence[str]) -> Mapping[str, Mapping[str, int]]:
        """By the key of a limit: the units that each reservation, by its key, holds of it."""
        holds: dict[str, dict[str, int]] = defaultdict(dict)
        for some in _pieces(reservations):
            for reservation, reply in zip(some, await self._held(keys=some), strict=True):
                for key, cost in zip(reply[::2], reply[1::2], strict=True):
                    held = holds[key.decode("utf-8", "surrogatepass")]
                    held[reservation] = held.get(reservation, 0) + int(cost)
        return holds


def _of(read: LimitKey, limit: Limit) -> Mapping[str, str]:
    return {name: value for name, value in read.attributes(limit).items() if name != "tenant"}


def _pieces(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (items[at : at + _AT_ONCE] for at in range(0, len(items), _AT_ONCE))


@contextmanager
def _unavailable() -> Iterator[None]:
    try:
        yield
    except (RedisError, RedisClusterException, OSError) as error:
        raise StoreUnavailable(f"the limit store failed: {error}") from error
