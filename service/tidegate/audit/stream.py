"""Records in a Redis stream that all writers share. Beside it stands where each writer's chain ends."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from typing import Any, Final

from redis.asyncio import Redis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.exceptions import RedisClusterException, RedisError

from tidegate.admission.open import CLUSTER
from tidegate.admission.slots import ClusterUrl
from tidegate.audit.chain import Head, Sealed
from tidegate.audit.sink import StreamPlace
from tidegate.errors import AuditSetBack, AuditUnavailable

_APPEND: Final = files("tidegate.audit").joinpath("append.lua").read_text()
_REMEMBERED: Final = 1200  # batches: the last minute at least, and replicas lag by seconds


def heads_of(stream: str) -> str:
    """The key of the hash with the heads, in the slot of the stream."""
    return f"{{{stream}}}|heads"


class StreamSink:
    """The stream, for one writer. `timeout` is how long a call may take, seconds."""

    def __init__(self, place: StreamPlace, writer: str, *, timeout: float = 2.0) -> None:
        self._redis = _client(place.url, timeout)
        self._keys = (place.stream, heads_of(place.stream))
        self._maxlen = place.maxlen
        self._writer = writer
        self._reached: deque[Head] = deque(maxlen=_REMEMBERED)

    async def open(self) -> tuple[Head, int]:
        """Where the writer's chain ends: a script leaves nothing torn."""
        return await self._stands(), 0

    async def append(self, records: Sequence[Sealed]) -> None:
        """Add records, unless somebody else has added to the chain. `AuditSetBack` when Redis lost what it had kept."""
        before, after = _text(records[0].before), _text(records[-1].head)
        lines = [record.line for record in records]
        with _naming_failures():
            kept = await self._redis.eval(_APPEND, 2, *self._keys, self._writer, before, after, self._maxlen, *lines)
        if not kept:
            stands = await self._stands()
            if stands in self._reached:
                raise AuditSetBack(*stands)
            raise AuditUnavailable("another process writes under this name")
        self._reached.append(records[-1].head)

    def full(self, now: float) -> bool:
        """Never: Redis drops what is over `maxlen`."""
        return False

    async def close(self) -> None:
        """Close the connection."""
        await self._redis.aclose()

    async def _stands(self) -> Head:
        with _naming_failures():
            stands = await self._redis.hget(self._keys[1], self._writer)
        if stands is None:
            return Head()
        seq, _, digest = stands.decode().partition(":")
        return Head(int(seq), digest)


def _client(url: str, timeout: float) -> Any:
    """redis-py's own client of a cluster will do here: what it repeats is kept once."""
    timeouts: Any = {"socket_timeout": timeout, "socket_connect_timeout": timeout}
    if not url.startswith(CLUSTER):
        return Redis.from_url(url, **timeouts)
    cluster = ClusterUrl(url)
    nodes = [ClusterNode(host, port) for host, port in cluster.places]
    return RedisCluster.from_url(
        cluster.node(cluster.seeds[0]), startup_nodes=nodes, require_full_coverage=False, **timeouts
    )


def _text(head: Head) -> str:
    return f"{head.seq}:{head.hash}"


@contextmanager
def _naming_failures() -> Iterator[None]:
    try:
        yield
    except (RedisError, RedisClusterException, OSError) as failure:
        raise AuditUnavailable(f"the audit stream: {type(failure).__name__}") from failure
