"""`tidegate serve --workers 2` beside `--workers 1`: how much more two workers decide, on a machine with two cores.

Each worker has callers of its own that make full Checks (three limits on one Redis), in turns of a few seconds. On two
cores the load generator takes from the second worker what the first one, alone, did not miss: so the ratio of what was
decided a second of wall time is that of worker, Redis and generator together, and is told, but has no goal.

What a remote generator would find is reckoned from processor time, which no other process can take away: a worker that
has a core to itself decides 1 / w1 calls a second, w1 being its seconds a call; two, on two cores that they share with
Redis, 2 / (w2 + r2). w2 and r2 are taken while both workers and all else run at once, so that what they cost each other
(caches, memory, Redis) is in them. The generator (`h2_load`) sends what was encoded before, and its share is told.
"""

from __future__ import annotations

import base64
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Final

from tidegate.demo.redis_server import RedisServer

from tests.bench import cpu
from tests.bench import world as bench
from tests.bench.h2_load import Plan

SECONDS: Final = 30.0
_TURN: Final = 3.0
_CALLERS: Final = 64


def _turn(addresses: Sequence[str], payload: bytes, seconds: float, groups: dict[str, list[int]]) -> dict[str, float]:
    plan = Plan(list(addresses), bench.CHECK, base64.b64encode(payload).decode(), _CALLERS, seconds)
    before = cpu.used(groups)
    command = [sys.executable, "-m", "tests.bench.h2_load"]
    done = subprocess.run(command, input=json.dumps(asdict(plan)), capture_output=True, text=True)
    after = cpu.used(groups)
    if done.returncode:
        raise RuntimeError(f"the load generator failed: {done.stderr[-2000:]}")
    result: dict[str, float] = json.loads(done.stdout)
    if result["wrong"] or result["broken"] or not result["answers"]:
        raise RuntimeError(f"not every Check was allowed: {result}")
    calls = result["answers"]
    return {
        "per_s": calls / result["wall"],
        "generator_us": result["cpu"] / calls * 1e6,
        "generator_share": result["cpu"] / result["wall"],
        **{f"{name}_us": (after[name] - before[name]) / calls * 1e6 for name in groups},
    }


def measure(directory: Path, *, seconds: float = SECONDS) -> dict[str, float]:
    """Decisions a second with one worker and with two, microseconds of each a decision, and the two ratios."""
    directory.mkdir(parents=True, exist_ok=True)
    world = bench.build(directory)
    payload = world.check_request()
    turns = max(1, round(seconds / _TURN))
    found: dict[int, list[dict[str, float]]] = {1: [], 2: []}
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer(directory / "redis"))
        running = {
            count: stack.enter_context(bench.running_tidegate(world, store=redis.url, workers=count, store_timeout=1.0))
            for count in found
        }
        for warm in (True, *[False] * turns):
            for count, (process, addresses) in running.items():
                groups = {"workers": [process.pid], "redis": [redis.pid]}
                one = _turn(addresses, payload, min(1.0, seconds) if warm else seconds / turns, groups)
                if not warm:
                    found[count].append(one)

    def median(count: int, what: str) -> float:
        return statistics.median(one[what] for one in found[count])

    figures = {
        f"workers_{count}_{what}": float(round(median(count, what)))
        for count in found
        for what in ("per_s", "workers_us", "redis_us", "generator_us")
    }
    remote = 2 * median(1, "workers_us") / (median(2, "workers_us") + median(2, "redis_us"))
    return figures | {
        "workers_generator_share_of_a_core": round(median(2, "generator_share"), 2),
        "workers_wall_ratio": round(median(2, "per_s") / median(1, "per_s"), 2),
        "workers_ratio": round(remote, 2),
    }
