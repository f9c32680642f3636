"""A real Redis Cluster on loopback: three masters, each with a third of the slots, and replicas where a test wants."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import redis
from redis.crc import REDIS_CLUSTER_HASH_SLOTS as SLOTS
from redis.crc import key_slot
from tidegate.demo.redis_server import RedisServer

MASTERS = 3
_BUS = 10_000  # the port of a node's bus is this much above its own
_OPTIONS = (
    "--cluster-enabled", "yes",
    "--cluster-node-timeout", "1000",
    "--cluster-require-full-coverage", "no",
    "--cluster-replica-validity-factor", "0",
    "--repl-diskless-sync-delay", "0",
)  # fmt: skip


class RedisCluster:
    """Nodes by number: the masters first, then a replica of each of the masters in `replicated`."""

    def __init__(self, directory: Path, replicated: Sequence[int] = ()) -> None:
        self._replicated = replicated
        self.ports = [_free_port() for _ in range(MASTERS + len(replicated))]
        self.servers = [RedisServer(directory / str(port), port, _OPTIONS) for port in self.ports]
        self.clients = [redis.Redis(port=port, socket_timeout=5.0, decode_responses=True) for port in self.ports]
        self.url = "redis+cluster://" + ",".join(f"127.0.0.1:{port}" for port in self.ports[:MASTERS])

    def start(self) -> None:
        for server in self.servers:
            server.start()
        for number, client in enumerate(self.clients):
            self.cluster(number, "SET-CONFIG-EPOCH", number + 1)
            if number < MASTERS:
                first, last = SLOTS * number // MASTERS, SLOTS * (number + 1) // MASTERS
                client.execute_command("CLUSTER ADDSLOTS", *range(first, last))
            for port in self.ports[:number]:
                self.cluster(number, "MEET", "127.0.0.1", port)
        self.until(lambda: all(self._whole(number) for number in range(len(self.servers))))
        for number, master in enumerate(self._replicated, start=MASTERS):
            self.cluster(number, "REPLICATE", self.node_id(master))
        self.until(lambda: all(self._follows(number) for number in range(MASTERS, len(self.servers))))

    def stop(self) -> None:
        for client in self.clients:
            client.close()
        for server in self.servers:
            server.stop(kill=True)

    def cluster(self, number: int, command: str, *arguments: Any) -> Any:
        """The answer of a node to a CLUSTER command."""
        return self.clients[number].execute_command(f"CLUSTER {command}", *arguments)

    def node_id(self, number: int) -> str:
        return str(self.cluster(number, "MYID"))

    def master_of(self, tag: str) -> int:
        """The number of the master that had the slot of a tag at the start."""
        return next(n for n in range(MASTERS) if key_slot(tag.encode()) < SLOTS * (n + 1) // MASTERS)

    def tags_of(self, number: int, count: int) -> list[str]:
        """Names whose slots a master had at the start, each in another."""
        tags: dict[int, str] = {}
        candidates = (f"t{i}" for i in range(100_000))
        while len(tags) < count:
            tag = next(candidates)
            if self.master_of(tag) == number:
                tags.setdefault(key_slot(tag.encode()), tag)
        return list(tags.values())

    def begin_move(self, slot: int, source: int, target: int) -> None:
        self.cluster(target, "SETSLOT", slot, "IMPORTING", self.node_id(source))
        self.cluster(source, "SETSLOT", slot, "MIGRATING", self.node_id(target))

    def move_keys(self, slot: int, source: int, target: int, most: int = 1000, which: str = "") -> int:
        """Move that many keys of a slot, whose names hold `which`; how many were moved."""
        keys = [key for key in self.cluster(source, "GETKEYSINSLOT", slot, most) if which in key]
        if keys:
            self.clients[source].execute_command("MIGRATE", "127.0.0.1", self.ports[target], "", 0, 5000, "KEYS", *keys)
        return len(keys)

    def end_move(self, slot: int, source: int, target: int) -> None:
        for number in (target, source, *({*range(MASTERS)} - {target, source})):
            self.cluster(number, "SETSLOT", slot, "NODE", self.node_id(target))

    def move(self, slot: int, source: int, target: int) -> int:
        """Move a slot as redis-cli does, a few keys at a time; how many were moved."""
        moved = 0
        self.begin_move(slot, source, target)
        while more := self.move_keys(slot, source, target, 3):
            moved += more
        self.end_move(slot, source, target)
        return moved

    def _whole(self, number: int) -> bool:
        info = self.cluster(number, "INFO")
        return (info["cluster_state"], int(info["cluster_known_nodes"])) == ("ok", len(self.servers))

    def _follows(self, number: int) -> bool:
        return bool(self.clients[number].info("replication").get("master_link_status") == "up")

    @staticmethod
    def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
        deadline = time.monotonic() + seconds
        while True:
            with suppress(redis.RedisError):
                if condition():
                    return
            if time.monotonic() > deadline:
                raise TimeoutError
            time.sleep(0.02)


@contextmanager
def running_cluster(directory: Path, replicated: Sequence[int] = ()) -> Iterator[RedisCluster]:
    cluster = RedisCluster(directory, replicated)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def _free_port() -> int:
    """A port of loopback that is free, and so is that of the bus."""
    while True:
        port = random.randrange(12_000, 32_000 - _BUS)
        with socket.socket() as one, socket.socket() as other, suppress(OSError):
            one.bind(("127.0.0.1", port))
            other.bind(("127.0.0.1", port + _BUS))
            return port
