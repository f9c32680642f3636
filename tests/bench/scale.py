"""Tenants with three limits of their own, a hundred times as many: what a live key and a decision cost then.

A decision is asked for alone, so that what the store does for it can be counted.
"""

from __future__ import annotations

import asyncio
import gc
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import redis
from tidegate.admission.ledger import Ledger
from tidegate.admission.memory import MemoryLedger
from tidegate.admission.redis import RedisLedger
from tidegate.clock import SystemClock
from tidegate.demo.redis_server import running_redis
from tidegate.model import Charge, Limit

FEW = 100
TIMES = 100
DECISIONS = 20_000

_Book = list[tuple[Charge, ...]]


def _book(tenants: int) -> _Book:
    """The charges of one request of each tenant: on a token bucket, a sliding window and a quota of its own."""
    book = []
    for number in range(tenants):
        name = f"tenant-{number:05}"
        rate = Limit(f"tenant:{name}", "rate", "token_bucket", 10**6, 3600.0, refill=1, per=("subject",))
        window = Limit(f"tenant:{name}", "window", "sliding_window", 10**6, 3600.0, per=("tenant",))
        month = Limit(f"tenant:{name}", "month", "quota", 10**6, 31 * 86_400.0, per=("tenant",), resets="month")
        book.append((Charge(rate, f"{name}|ada"), Charge(window, name), Charge(month, name)))
    return book


async def _once_each(ledger: Ledger, book: _Book) -> None:
    for charges in book:
        if (await ledger.reserve(charges)).refused is not None:
            raise RuntimeError("a limit of the bench refused")


async def _us_a_decision(ledger: Ledger, book: Sequence[tuple[Charge, ...]], decisions: int) -> float:
    """CPU time of this process, over tenants in turn."""
    gc.collect()
    started = time.process_time()
    for number in range(decisions):
        await ledger.reserve(book[number % len(book)])
    return (time.process_time() - started) / decisions * 1e6


async def _memory(tenants: int, decisions: int) -> dict[str, float]:
    book = _book(tenants)
    clock = SystemClock()
    ledger = MemoryLedger(clock)
    gc.collect()
    tracemalloc.start()
    await _once_each(ledger, book)
    gc.collect()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return {
        "memory_bytes_a_key": held / len(ledger),
        "memory_us": await _us_a_decision(ledger, book, decisions),
    }


async def _redis(url: str, tenants: int, decisions: int) -> dict[str, float]:
    book = _book(tenants)
    ledger = RedisLedger(url, timeout=10.0)
    try:
        with redis.Redis.from_url(url) as client:
            client.flushall()
            await ledger.ready()
            before = client.info("memory")["used_memory"]
            client.config_resetstat()
            await _once_each(ledger, book)
            stats = client.info("commandstats")
            operations = sum(stat["calls"] for name, stat in stats.items() if name not in _OWN)
            after = client.info("memory")["used_memory"]
            keys = list(client.scan_iter("tg|{*", count=1000))
            if len(keys) != 3 * tenants:
                raise RuntimeError(f"{len(keys)} keys for {tenants} tenants with three limits")
            usage = _usage(client, keys)
        return {
            "redis_bytes_a_key": usage / len(keys),
            "redis_used_memory_a_key": (after - before) / len(keys),
            "redis_operations": operations / tenants,
            "redis_calls": stats["cmdstat_evalsha"]["calls"] / tenants,
            "redis_us": await _us_a_decision(ledger, book, decisions),
        }
    finally:
        await ledger.close()


_OWN = frozenset({"cmdstat_info", "cmdstat_config|resetstat", "cmdstat_config"})


def _usage(client: redis.Redis, keys: list[Any]) -> int:
    with client.pipeline(transaction=False) as pipeline:
        for key in keys:
            pipeline.memory_usage(key)
        return sum(pipeline.execute())


def measure(directory: Path, *, quick: bool = False) -> dict[str, float]:
    """Bytes a live key and store operations a decision of many tenants, and their ratio to those of few."""
    many = FEW * (5 if quick else TIMES)
    decisions = DECISIONS // (20 if quick else 1)
    figures = {}
    with running_redis(directory=directory / "redis") as url:
        for ask in (_memory, _over(url)):
            few, lots = (asyncio.run(ask(tenants, decisions)) for tenants in (FEW, many))
            for name, value in lots.items():
                figures[f"scale_{name}"] = round(value, 2)
                figures[f"scale_{name}_ratio"] = round(value / few[name], 3)
    return figures


def _over(url: str) -> Callable[[int, int], Any]:
    return lambda tenants, decisions: _redis(url, tenants, decisions)
