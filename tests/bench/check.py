"""A full Check against an empty one: same runtime, same machine, interleaved rounds, ratios of medians."""

from __future__ import annotations

import statistics
from contextlib import ExitStack
from pathlib import Path

import grpc
from envoy.service.auth.v3 import external_auth_pb2
from tidegate.demo.redis_server import running_redis

from tests.bench import world as bench

CALLS = 4000
ROUNDS = 5


def measure(directory: Path) -> dict[str, float]:
    """Calls a second of each server, as ratios to the empty one."""
    world = bench.build(directory)
    payload = world.check_request()
    with ExitStack() as stack:
        url = stack.enter_context(running_redis(directory=directory / "redis"))
        targets = {
            "empty": stack.enter_context(bench.noop(world)),
            "memory": stack.enter_context(bench.tidegate(world))[0],
            "redis": stack.enter_context(bench.tidegate(world, store=url))[0],
        }
        for name in ("memory", "redis"):
            _must_allow(targets[name], payload)
        for target in targets.values():
            bench.load(target, payload, calls=CALLS // 4)
        rates: dict[str, list[float]] = {name: [] for name in targets}
        p99: dict[str, list[float]] = {name: [] for name in targets}
        for _ in range(ROUNDS):
            for name, target in targets.items():
                result = bench.load(target, payload, calls=CALLS)
                rates[name].append(result["calls"] / result["wall"])
                p99[name].append(result["p99"])
    empty = statistics.median(rates["empty"])
    return {
        "check_empty_per_s": round(empty),
        "check_memory_ratio": round(statistics.median(rates["memory"]) / empty, 3),
        "check_redis_ratio": round(statistics.median(rates["redis"]) / empty, 3),
        "check_memory_p99_ratio": round(statistics.median(p99["memory"]) / statistics.median(p99["empty"]), 2),
        "check_redis_p99_ratio": round(statistics.median(p99["redis"]) / statistics.median(p99["empty"]), 2),
    }


def _must_allow(target: str, payload: bytes) -> None:
    with grpc.insecure_channel(target) as channel:
        answer = external_auth_pb2.CheckResponse.FromString(
            channel.unary_unary("/envoy.service.auth.v3.Authorization/Check")(payload, timeout=5)
        )
    if answer.status.code != 0 or len(answer.ok_response.response_headers_to_add) == 0:
        raise RuntimeError(f"the measured Check does not do the full work: {answer}")
