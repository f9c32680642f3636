"""A load generator for unary gRPC calls, run as a process of its own so that it does not share the server's core.

Usage: python -m tests.bench.load TARGET METHOD CALLS CONCURRENCY RATE < one serialized request

RATE 0 is a closed loop: each of CONCURRENCY callers asks again when it is answered. Else it is an open one: calls
come at random (Poisson), RATE a second, whether or not the earlier ones were answered.
Prints one JSON object: wall seconds, latencies, and how many answers had each size (which tells allow from deny).
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time

import grpc
import uvloop


async def drive(
    target: str, method: str, payload: bytes, calls: int, concurrency: int, rate: float
) -> dict[str, object]:
    """`calls` calls in all; latencies in seconds."""
    latencies: list[float] = []
    sizes: dict[int, int] = {}
    remaining = calls
    async with grpc.aio.insecure_channel(target) as channel:
        call = channel.unary_unary(method)
        await call(payload, wait_for_ready=True, timeout=10)

        async def ask() -> None:
            started = time.perf_counter()
            answer = await call(payload, timeout=10)
            latencies.append(time.perf_counter() - started)
            sizes[len(answer)] = sizes.get(len(answer), 0) + 1

        async def caller() -> None:
            nonlocal remaining
            while remaining > 0:
                remaining -= 1
                await ask()

        async def arrivals() -> None:
            rng = random.Random(1)
            due = time.perf_counter()
            async with asyncio.TaskGroup() as tasks:
                for _ in range(calls):
                    due += rng.expovariate(rate)
                    if (ahead := due - time.perf_counter()) > 0:
                        await asyncio.sleep(ahead)
                    tasks.create_task(ask())

        started = time.perf_counter()
        if rate:
            await arrivals()
        else:
            await asyncio.gather(*(caller() for _ in range(concurrency)))
        wall = time.perf_counter() - started
    latencies.sort()
    return {
        "wall": wall,
        "calls": len(latencies),
        "p50": latencies[len(latencies) // 2],
        "p99": latencies[len(latencies) * 99 // 100],
        "sizes": sizes,
    }


if __name__ == "__main__":
    target, method, calls, concurrency, rate = sys.argv[1:]
    payload = sys.stdin.buffer.read()
    print(json.dumps(uvloop.run(drive(target, method, payload, int(calls), int(concurrency), float(rate)))))
