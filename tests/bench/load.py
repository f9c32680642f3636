"""A load generator for unary gRPC calls, run as a process of its own so that it does not share the server's core.

Usage: python -m tests.bench.load TARGET METHOD CALLS CONCURRENCY < one serialized request
Prints one JSON object: wall seconds, and how many answers had each first byte pattern (allow or deny is told by size).
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import grpc
import uvloop


async def drive(target: str, method: str, payload: bytes, calls: int, concurrency: int) -> dict[str, object]:
    """Closed loop: `concurrency` callers, `calls` calls in all; latencies in seconds."""
    latencies: list[float] = []
    sizes: dict[int, int] = {}
    remaining = calls
    async with grpc.aio.insecure_channel(target) as channel:
        call = channel.unary_unary(method)
        await call(payload, wait_for_ready=True, timeout=10)

        async def caller() -> None:
            nonlocal remaining
            while remaining > 0:
                remaining -= 1
                started = time.perf_counter()
                answer = await call(payload, timeout=10)
                latencies.append(time.perf_counter() - started)
                sizes[len(answer)] = sizes.get(len(answer), 0) + 1

        started = time.perf_counter()
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
    target, method, calls, concurrency = sys.argv[1:]
    print(json.dumps(uvloop.run(drive(target, method, sys.stdin.buffer.read(), int(calls), int(concurrency)))))
