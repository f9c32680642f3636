"""One limit of N, 200 racers, two processes, one Redis: how many are let in."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
from envoy.service.auth.v3 import external_auth_pb2
from tidegate.demo.redis_server import running_redis

from tests.bench import world as bench

LIMIT = 100
RACERS = 200
EACH = 5

_POLICY = bench.POLICY.replace(
    "{name: rpm, algorithm: token_bucket, capacity: 1000000000, refill: 1000000000/1s, per: [subject]}",
    f"{{name: race, algorithm: sliding_window, limit: {LIMIT}, window: 1h, per: [subject]}}",
)


async def _race(addresses: list[str], payload: bytes) -> int:
    channels = [grpc.aio.insecure_channel(address) for address in addresses]
    admitted = 0

    async def racer(index: int) -> None:
        nonlocal admitted
        call = channels[index % len(channels)].unary_unary("/envoy.service.auth.v3.Authorization/Check")
        for _ in range(EACH):
            answer = external_auth_pb2.CheckResponse.FromString(await call(payload, timeout=20))
            admitted += answer.status.code == 0

    await asyncio.gather(*(racer(index) for index in range(RACERS)))
    await asyncio.gather(*(channel.close() for channel in channels))
    return admitted


def measure(directory: Path) -> dict[str, float]:
    """Admitted ÷ limit; 1.0 is exact."""
    directory.mkdir(parents=True, exist_ok=True)
    world = bench.build(directory, _POLICY)
    with (
        running_redis(directory=directory / "redis") as url,
        bench.tidegate(world, store=url, workers=2) as addresses,
    ):
        admitted = asyncio.run(_race(addresses, world.check_request()))
    return {"race_overspend": admitted / LIMIT}
