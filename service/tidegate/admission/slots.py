"""Which master of a Redis Cluster serves a slot, learnt from any of its nodes (Redis Cluster specification).

redis-py's own cluster client is not used for this: it keeps pools of connections to every node, and repeats commands
whose reply was lost. What is needed of a node is one answer to CLUSTER SLOTS now and then.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Sequence
from typing import Any

from redis.asyncio.connection import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.crc import REDIS_CLUSTER_HASH_SLOTS
from redis.exceptions import RedisError

_SCHEMES = {"redis+cluster": "redis", "rediss+cluster": "rediss"}
_CALM = 0.2
_PATIENCE = 0.5


class ClusterUrl:
    """`redis+cluster://[user:password@]host:port[,host:port…][?options]`, or `rediss+cluster://` for TLS.

    The nodes named are where to begin; user, password and the options of redis-py hold for every node. Raises
    ValueError, without the password, for what is no such URL.
    """

    def __init__(self, url: str) -> None:
        scheme, _, rest = url.partition("://")
        if scheme not in _SCHEMES:
            raise ValueError(f"must begin with {' or '.join(f'{name}://' for name in _SCHEMES)}")
        rest, mark, options = rest.partition("?")
        user, at, place = rest.rpartition("@")
        hosts, _, database = place.partition("/")
        if database not in ("", "0"):
            raise ValueError("a cluster has one database, number 0")
        self._before = f"{_SCHEMES[scheme]}://{user}{at}"
        self._after = f"{mark}{options}"
        self.seeds = tuple(_address(host) for host in hosts.split(","))
        for seed in self.seeds:
            self.node(seed)

    @property
    def places(self) -> tuple[tuple[str, int], ...]:
        """The host and the port of each node to begin with."""
        return tuple((host.strip("[]"), int(port)) for host, _, port in (seed.rpartition(":") for seed in self.seeds))

    def node(self, address: str) -> str:
        """The URL of one node, by its "host:port"."""
        return f"{self._before}{address}{self._after}"


def _address(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if not text or text.endswith("]") or not colon:
        host, port = text, "6379"
    if ":" in host and not host.endswith("]"):
        raise ValueError("each IPv6 address must be in brackets")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError("each node must be host:port")
    return f"{host}:{port}"


class Slots:
    """The map of slots to masters ("host:port", or "" for a slot that nobody serves), as last learnt.

    `patience` is how long one node is waited for, seconds. `failure` is why the last that did not answer did not.
    """

    def __init__(self, url: ClusterUrl, *, patience: float = _PATIENCE) -> None:
        self._url = url
        self._patience = patience
        self._owners = [""] * REDIS_CLUSTER_HASH_SLOTS
        self._nodes: tuple[str, ...] = ()
        self._learning: asyncio.Task[bool] | None = None
        self._learnt = float("-inf")
        self.masters: frozenset[str] = frozenset()
        self.failure = ""

    def owner(self, slot: int) -> str:
        """The master of a slot, "" when nobody is known to serve it."""
        return self._owners[slot]

    @property
    def covered(self) -> bool:
        """Whether every slot has a master."""
        return "" not in self._owners

    def moved(self, slot: int, address: str) -> None:
        """A node has said that the slot is at `address`: believed at once, and the rest is asked for."""
        self._owners[slot] = address
        self.masters |= {address}
        self.learn_soon()

    def learn_soon(self) -> None:
        """Ask for the map in the background, unless that was just done."""
        if self._learning is None and asyncio.get_running_loop().time() - self._learnt > _CALM:
            self._begin()

    async def learn(self) -> bool:
        """Ask for the map; False when no node answers. Whoever asks meanwhile gets the same answer."""
        return await asyncio.shield(self._learning or self._begin())

    async def close(self) -> None:
        """Stop asking."""
        if self._learning is not None:
            self._learning.cancel()
            await asyncio.wait([self._learning])

    def _begin(self) -> asyncio.Task[bool]:
        self._learning = asyncio.create_task(self._learn())
        self._learning.add_done_callback(self._told)
        return self._learning

    def _told(self, _: asyncio.Task[bool]) -> None:
        self._learning = None
        self._learnt = asyncio.get_running_loop().time()

    async def _learn(self) -> bool:
        for address in dict.fromkeys((*_shuffled(self._nodes), *_shuffled(self._url.seeds))):
            try:
                async with asyncio.timeout(self._patience):
                    ranges = await self._ask(address)
                self._adopt(ranges, address)
            except TimeoutError:
                self.failure = f"{address} did not answer"
            except (RedisError, OSError, ValueError, TypeError, LookupError) as error:
                self.failure = f"{address}: {error}"
            else:
                return True
        return False

    async def _ask(self, address: str) -> Sequence[Any]:
        pool = ConnectionPool.from_url(
            self._url.node(address), protocol=2, driver_info=None, retry=Retry(NoBackoff(), 0)
        )
        connection: Any = pool.make_connection()  # type: ignore[no-untyped-call]  # untyped in redis-py
        try:
            await connection.connect()
            await connection.send_command("CLUSTER", "SLOTS", check_health=False)
            ranges: Sequence[Any] = await connection.read_response()
            return ranges
        finally:
            await connection.disconnect(nowait=True)

    def _adopt(self, ranges: Sequence[Any], asked: str) -> None:
        """Each range: first and last slot, then its master and the replicas as (host, port, …)."""
        owners = [""] * REDIS_CLUSTER_HASH_SLOTS
        nodes = set()
        for first, last, *serving in ranges:
            addresses = [self._named(node, asked) for node in serving]
            owners[first : last + 1] = [addresses[0]] * (last + 1 - first)
            nodes.update(addresses)
        if not nodes:
            raise ValueError("a node that serves nothing, and knows nobody who does")
        self._owners = owners
        self._nodes = tuple(nodes)
        self.masters = frozenset(owners) - {""}

    @staticmethod
    def _named(node: Sequence[Any], asked: str) -> str:
        host = (node[0] or b"").decode()
        # A node that does not know its own name is where it was asked.
        return f"{asked.rpartition(':')[0]}:{node[1]}" if host in ("", "?") else node_address(host, node[1])


def node_address(host: str, port: int) -> str:
    """A node as it is called here: "host:port", "[host]:port" for IPv6."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _shuffled(addresses: Iterable[str]) -> list[str]:
    order = list(addresses)
    random.shuffle(order)
    return order
