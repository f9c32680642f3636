"""A full Check against an empty one: same runtime, same machine, interleaved rounds, ratios of medians.

First as many calls as each server takes, with three limits and with five; then half of what the one with five limits on
Redis took, at random times, beside the empty one at the same rate: how long a call takes when nothing is overloaded.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import grpc
from envoy.service.auth.v3 import external_auth_pb2
from tidegate.demo.redis_server import running_redis

from tests.bench import world as bench

CALLS = 4000
ROUNDS = 5


def measure(directory: Path, *, quick: bool = False) -> dict[str, float]:
    """Calls a second of each server and their p99, as ratios to the empty one."""
    calls, rounds = (200, 1) if quick else (CALLS, ROUNDS)
    three = bench.build(_made(directory / "three"))
    five = bench.build(_made(directory / "five"), bench.FIVE)
    with ExitStack() as stack:
        url = stack.enter_context(running_redis(directory=directory / "redis"))
        targets = {
            "empty": (stack.enter_context(bench.noop(three)), three.check_request()),
            "memory": (stack.enter_context(bench.tidegate(three))[0], three.check_request()),
            "redis": (stack.enter_context(bench.tidegate(three, store=url))[0], three.check_request()),
            "redis_five": (stack.enter_context(bench.tidegate(five, store=url))[0], five.check_request()),
        }
        for name, limits in (("memory", 3), ("redis", 3), ("redis_five", 5)):
            _must_allow(*targets[name], limits)
        for target, payload in targets.values():
            bench.load(target, payload, calls=calls // 4)
        full = _rounds(targets, calls, rounds)
        half = _rounds(
            {name: targets[name] for name in ("empty", "redis_five")}, calls, rounds, full["redis_five"][0] / 2
        )
    empty, empty_p99 = full["empty"]
    figures = {"check_empty_per_s": float(round(empty))}
    for name in ("memory", "redis", "redis_five"):
        figures[f"check_{name}_ratio"] = round(full[name][0] / empty, 3)
        figures[f"check_{name}_p99_ratio"] = round(full[name][1] / empty_p99, 2)
    return figures | {
        "check_half_of_saturation": round(half["redis_five"][0] / full["redis_five"][0], 2),
        "check_half_p99_ms": round(half["redis_five"][1] * 1000, 2),
        "check_half_p99_ratio": round(half["redis_five"][1] / half["empty"][1], 2),
    }


def _made(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def _rounds(
    targets: Mapping[str, tuple[str, bytes]], calls: int, rounds: int, rate: float = 0.0
) -> dict[str, tuple[float, float]]:
    """(calls a second, p99 in seconds) of each target, medians."""
    results: dict[str, list[dict[str, float]]] = {name: [] for name in targets}
    for _ in range(rounds):
        for name, (target, payload) in targets.items():
            results[name].append(bench.load(target, payload, calls=calls, rate=rate))
    return {
        name: (
            statistics.median(one["calls"] / one["wall"] for one in each),
            statistics.median(one["p99"] for one in each),
        )
        for name, each in results.items()
    }


def _must_allow(target: str, payload: bytes, limits: int) -> None:
    with grpc.insecure_channel(target) as channel:
        answer = external_auth_pb2.CheckResponse.FromString(channel.unary_unary(bench.CHECK)(payload, timeout=5))
    headers = {option.header.key: option.header.value for option in answer.ok_response.response_headers_to_add}
    if answer.status.code != 0 or headers.get("ratelimit", "").count(";r=") != limits:
        raise RuntimeError(f"the measured Check does not do the full work: {answer}")
