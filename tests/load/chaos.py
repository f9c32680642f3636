"""`make chaos`: faults under traffic; what clients saw of each, what leaked, who passed, what was charged.

`python -m tests.load.chaos [FAULT ...]` takes all of them, or those that are named, each with a stack of its own:
Envoy, two workers, Redis, a model, JSON and streams. It strikes three seconds after the first request. A line for each,
and under it what is not as it must be, which is exit status 1; the last line is JSON. With `--one-call` Envoy asks as
`tidegate envoy-config --one-call` has it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, nullcontext, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.load.books import read_books
from tests.load.checks import Charged, Check
from tests.load.faults import FAULTS, Fault
from tests.load.scene import Scene, token
from tests.load.stack import PEPPER, Stack, running_stack
from tests.load.tally import Tally
from tests.load.traffic import Traffic, mix
from tests.load.verdict import LIMITS, Evidence, judge, passed, silent

BEFORE: Final = 3.0
"""Seconds of traffic before the strike."""
AFTER: Final = 4.0
"""Seconds of it after all must be well again."""
_FOLLOWS: Final = 2.0
"""Seconds in which answers may still be of exchanges that began before the strike was over."""
_PATIENCE: Final = 30.0
_SECRET: Final = re.compile(r"planted[0-9a-f]{8}|PLANTED[A-Z2-7]{9}|1111 1111 1111")
"""What tells a planted value (`answers`)."""
_LATE: Final = 20


class _Seen(NamedTuple):
    """By the traffic."""

    tally: Tally
    calm: Tally
    struck: Tally
    recovered: float
    callers: int
    looked_at: Sequence[Check]


def run(fault: Fault, directory: Path, pace: float = 1.0, *, one_call: bool = False) -> Evidence:
    """One fault, in a directory of its own. `pace` is how long it takes, 1 for the times that are written down.

    With `one_call` Envoy asks Process alone.
    """
    directory.mkdir(parents=True, exist_ok=True)
    settings = _patiently(fault.settings(directory))
    with running_stack(directory, **settings, one_call=one_call) as stack, ExitStack() as exits:
        keys = {**stack.keys, **{name: token(*times) for name, times in fault.tokens.items()}}
        seen = asyncio.run(_watch(fault, Scene(stack, exits, pace), keys))
        charged, counts = _settled(stack), stack.counts()
    logs = [path for path in directory.rglob("*") if path.suffix in (".log", ".jsonl") and path.name != "model.log"]
    written = [path.read_text(errors="replace") for path in logs]
    return Evidence(
        seen.tally,
        seen.calm,
        seen.struck,
        seen.recovered,
        seen.callers,
        counts,
        charged,
        seen.looked_at,
        read_books(stack.audit, PEPPER),
        errors=sum(text.count('"event":"unexpected"') for text in written),
        logged=sum(
            len(_SECRET.findall(text)) + sum(text.count(key) for key in stack.keys.values()) for text in written
        ),
    )


def _patiently(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a fault, and patience that a busy machine needs: what is late is waited for, by everyone.

    So a timeout is no fault that nobody meant, and a run can be repeated.
    """
    own = settings.get("tweak", lambda _: None)

    def tweak(bootstrap: dict[str, Any]) -> None:
        own(bootstrap)
        (policy,) = (one for one in bootstrap["static_resources"]["clusters"] if one["name"] == "tidegate")
        policy["health_checks"][0]["timeout"] = f"{_LATE}s"

    flags = {"store-timeout": 5.0, "health-grace": 3.0, **settings.get("flags", {})}
    return {"check_timeout": _LATE, "message_timeout": _LATE, **settings, "flags": flags, "tweak": tweak}


async def _watch(fault: Fault, scene: Scene, keys: Mapping[str, str]) -> _Seen:
    callers = [group for group in mix(streams=12, gap=0.03) if group.kind.name != "large"]
    callers += fault.callers
    traffic = Traffic(scene.stack.port, keys, ramp=min(1.0, scene.pace))
    running = asyncio.create_task(traffic.run(callers))
    try:
        await scene.passes(BEFORE)
        calm = traffic.tally
        looked_at = await fault.strike(scene)
        over = time.monotonic()
        last = asyncio.create_task(_last_wrong(traffic, scene.pace * AFTER, over + fault.recovers))
        await asyncio.sleep(_FOLLOWS)
        struck = traffic.tally
        recovered = max(0.0, await last - over)
        with suppress(TimeoutError):
            await scene.until(lambda: not silent(traffic.tally.since(struck)), _PATIENCE)
    finally:
        traffic.stop()
        tally = await running
    return _Seen(tally, calm, struck, recovered, sum(group.count for group in callers), looked_at)


async def _last_wrong(traffic: Traffic, quiet: float, latest: float) -> float:
    """When the last wrong outcome was over, on the monotonic clock, 0 for none.

    Returns when there was none for `quiet` seconds, or that long after `latest`: it does not end by itself then.
    """
    at = 0.0
    began = time.monotonic()
    before = sum(traffic.tally.wrong.values())
    while time.monotonic() < min(max(at, began) + quiet, latest + quiet):
        await asyncio.sleep(0.05)
        wrong = sum(traffic.tally.wrong.values())
        if wrong > before:
            at, before = time.monotonic(), wrong
    return at


def _settled(stack: Stack) -> dict[str, Charged]:
    """What is charged once nothing changes any more: what is over is settled beside it, and what is owed is paid."""
    deadline = time.monotonic() + _PATIENCE
    before: dict[str, Charged] = {}
    while True:
        now = {tenant: Charged(*stack.charged(tenant)) for tenant in LIMITS}
        if now == before or time.monotonic() > deadline:
            return now
        before = now
        time.sleep(0.5)


HEAD: Final = f"{'fault':<19} {'what clients saw':<44} {'leaks':>5} {'passed':>6} {'charged/asked':>13} {'well':>6}"


def row(name: str, fault: Fault, seen: Evidence, checks: Sequence[Check]) -> str:
    """A line of the table, and one for each check that is not good."""
    saw = Counter({"right": seen.outcomes(right=True).total()}) + seen.outcomes(right=False)
    told = ", ".join(f"{what} {count}" for what, count in saw.most_common())
    figures = figures_of(fault, seen)
    paid = f"{figures['charged']}/{figures['asked']}"
    line = f"{name:<19} {told:<44} {figures['leaks']:>5} {figures['passed']:>6} {paid:>13} {seen.recovered:>4.1f} s"
    bad = [
        f"  NOT as it must be: {check.what}: {check.found}; expected: {check.expected}"
        for check in checks
        if not check.good
    ]
    return "\n".join([line, *bad])


def figures_of(fault: Fault, seen: Evidence) -> dict[str, Any]:
    """What to compare a later run with; `recovered` is seconds."""
    return {
        "right": seen.outcomes(right=True).total(),
        "wrong": dict(seen.outcomes(right=False)),
        "leaks": len(seen.tally.leaks),
        "passed": sum(passed(fault, seen).values()),
        "charged": sum(seen.charged[tenant].used.get(limit, 0) for tenant, limit in LIMITS.items()),
        "asked": sum(seen.counts.requests.values()),
        "recovered": round(seen.recovered, 2),
    }


def main() -> int:
    """0 when all is as it must be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faults", nargs="*", metavar="FAULT", help=", ".join(FAULTS))
    parser.add_argument("--one-call", action="store_true", help="Envoy asks Process alone")
    parser.add_argument("--keep", type=Path, help="a new directory for logs and the audit logs; else they are deleted")
    given = parser.parse_args()
    if unknown := sorted(set(given.faults) - set(FAULTS)):
        parser.error(f"no such fault: {', '.join(unknown)}; there are {', '.join(FAULTS)}")
    figures, good = {}, True
    with nullcontext(given.keep) if given.keep else tempfile.TemporaryDirectory(prefix="tidegate-chaos-") as place:
        print(HEAD, flush=True)
        for name in given.faults or FAULTS:
            fault = FAULTS[name]
            seen = run(fault, Path(place) / name, one_call=given.one_call)
            checks = judge(fault, seen)
            print(row(name, fault, seen, checks), flush=True)
            figures[name] = figures_of(fault, seen)
            good = good and all(check.good for check in checks)
    print(json.dumps(figures))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
