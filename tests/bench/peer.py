"""The `limits` package (alisaifee) beside the ledger: the same Redis, the same three limits a request, in turns.

Both run on one uvloop with the same callers, in their asynchronous form, `limits` with redis-py as this service. Its
limiters know one limit each, so a request takes three steps, one after the other; one that is refused by the last has
been charged by the others. The ledger takes all three or none, in one step.
"""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop
from limits import RateLimitItemPerHour
from limits.aio import strategies
from limits.aio.storage import RedisStorage
from tidegate.admission.redis import RedisLedger
from tidegate.demo.redis_server import running_redis
from tidegate.model import Charge, Limit

from tests.bench.callers import rate

SUBJECTS = 100
CAPACITY = 10**6
_Decide = Callable[[int], Awaitable[bool]]


def _ours(url: str) -> tuple[_Decide, Callable[[], Awaitable[None]]]:
    ledger = RedisLedger(url, timeout=10.0)
    exact = Limit("platform", "exact", "sliding_window", CAPACITY, 3600.0, per=("subject",))
    cheap = Limit("platform", "cheap", "sliding_window_counter", CAPACITY, 3600.0, per=("subject",))
    fixed = Limit("platform", "fixed", "quota", CAPACITY, 3600.0, per=("subject",), resets="hour")

    async def decide(number: int) -> bool:
        key = f"acme|subject-{number % SUBJECTS}"
        return (await ledger.reserve([Charge(exact, key), Charge(cheap, key), Charge(fixed, key)])).refused is None

    return decide, ledger.close


def _theirs(url: str) -> tuple[_Decide, Callable[[], Awaitable[None]]]:
    storage = RedisStorage(f"async+{url}", implementation="redispy")
    item = RateLimitItemPerHour(CAPACITY)
    exact = strategies.MovingWindowRateLimiter(storage)
    cheap = strategies.SlidingWindowCounterRateLimiter(storage)
    fixed = strategies.FixedWindowRateLimiter(storage)

    async def decide(number: int) -> bool:
        key = f"subject-{number % SUBJECTS}"
        return (
            await exact.hit(item, "exact", key)
            and await cheap.hit(item, "cheap", key)
            and await fixed.hit(item, "fixed", key)
        )

    async def close() -> None:
        await storage.bridge.storage.aclose()

    return decide, close


async def _compare(url: str, decisions: int, rounds: int) -> dict[str, float]:
    (ours, close_ours), (theirs, close_theirs) = _ours(url), _theirs(url)
    rates: dict[str, list[float]] = {"ours": [], "theirs": []}
    try:
        for decide in (ours, theirs):
            await rate(decide, decisions // 4)
        for _ in range(rounds):
            rates["ours"].append(await rate(ours, decisions))
            rates["theirs"].append(await rate(theirs, decisions))
    finally:
        await close_ours()
        await close_theirs()
    return {name: statistics.median(each) for name, each in rates.items()}


def measure(directory: Path, *, quick: bool = False) -> dict[str, float]:
    """Decisions a second over three limits, and how many times those of `limits`."""
    with running_redis(directory=directory / "redis") as url:
        rates = uvloop.run(_compare(url, 200 if quick else 5000, 1 if quick else 5))
    return {
        "limits_package_per_s": round(rates["theirs"]),
        "ledger_per_s": round(rates["ours"]),
        "ledger_times_limits_package": round(rates["ours"] / rates["theirs"], 2),
    }
