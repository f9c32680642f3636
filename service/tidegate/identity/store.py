"""The way from this room to a Redis, or to a Redis Cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.exceptions import RedisClusterException, RedisError

from tidegate.admission.open import CLUSTER
from tidegate.admission.slots import ClusterUrl
from tidegate.errors import StoreUnavailable

FAILURES = (RedisError, RedisClusterException, OSError)


def connect(url: str, timeout: float) -> Any:
    """A client of the store at `url`; it connects when it is used. `timeout` is seconds for each thing it waits for."""
    limits: dict[str, Any] = {"socket_timeout": timeout, "socket_connect_timeout": timeout}
    if url.startswith(CLUSTER):
        cluster = ClusterUrl(url)
        seeds = [seed.rpartition(":") for seed in cluster.seeds]
        nodes = [ClusterNode(host.strip("[]"), int(port)) for host, _, port in seeds]
        return RedisCluster.from_url(cluster.node(cluster.seeds[0]), startup_nodes=nodes, **limits)
    return Redis.from_url(url, **limits)


@contextmanager
def naming_failures(what: str) -> Iterator[None]:
    """A failure of the store inside becomes StoreUnavailable."""
    try:
        yield
    except FAILURES as failure:
        raise StoreUnavailable(f"{what}: {type(failure).__name__}") from failure
