"""A key that is over: refusals a second with the store asked each time, and with those of a moment ago repeated."""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable
from pathlib import Path

import redis
import uvloop
from tidegate.admission.denials import Denials
from tidegate.admission.ledger import Ledger
from tidegate.admission.memory import MemoryLedger
from tidegate.admission.outage import OutageLedger
from tidegate.admission.redis import RedisLedger
from tidegate.clock import SystemClock
from tidegate.demo.redis_server import running_redis
from tidegate.model import Charge, Limit

from tests.bench.callers import rate

_CHARGES = (
    Charge(Limit("platform", "ip", "sliding_window", 10**6, 3600.0, per=("client_ip",)), "192.0.2.1"),
    Charge(Limit("tier:free", "rph", "sliding_window", 10, 3600.0, per=("subject",)), "acme|ada"),
    Charge(Limit("tenant:acme", "month", "quota", 10**6, 31 * 86_400.0, per=("tenant",), resets="month"), "acme"),
)


def _refusal(ledger: Ledger) -> Callable[[int], Awaitable[bool]]:
    async def decide(_number: int) -> bool:
        return (await ledger.reserve(_CHARGES)).refused is not None

    return decide


async def _compare(url: str, refusals: int, rounds: int) -> dict[str, float]:
    asked = RedisLedger(url, timeout=10.0)
    clock = SystemClock()
    repeated = OutageLedger(RedisLedger(url, timeout=10.0), MemoryLedger(clock), denials=Denials(clock))
    for _ in range(10):
        await asked.reserve(_CHARGES)
    rates: dict[str, list[float]] = {"asked": [], "repeated": []}
    calls = 0
    try:
        with redis.Redis.from_url(url) as client:
            for _ in range(rounds):
                rates["asked"].append(await rate(_refusal(asked), refusals))
                client.config_resetstat()
                rates["repeated"].append(await rate(_refusal(repeated), refusals))
                stats = client.info("commandstats")
                calls += sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("eval", "evalsha"))
    finally:
        await asked.close()
        await repeated.close()
    return {name: statistics.median(each) for name, each in rates.items()} | {"calls": calls / rounds / refusals}


def measure(directory: Path, *, quick: bool = False) -> dict[str, float]:
    """Refusals a second of a key that is over, and the store calls of a thousand of them."""
    with running_redis(directory=directory / "redis") as url:
        found = uvloop.run(_compare(url, 2000 if quick else 20_000, 1 if quick else 5))
    return {
        "exhausted_asked_per_s": round(found["asked"]),
        "exhausted_repeated_per_s": round(found["repeated"]),
        "exhausted_times": round(found["repeated"] / found["asked"], 1),
        "exhausted_store_calls_per_1000": round(1000 * found["calls"], 3),
    }
