"""`make soak`: mixed traffic with streams held open all the time, and what must hold after it. Exit 1 on a broken one.

`python -m tests.load.soak --minutes 30 --streams 500` runs Envoy, two workers of tidegate, Redis and a model on
loopback, prints a line each minute and two tables at the end; the last line is JSON. Everything stays in `--keep`. With
`--one-call` Envoy asks as `tidegate envoy-config --one-call` has it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from tidegate.errors import StoreUnavailable

from tests.load.books import read_books
from tests.load.checks import TENANTS, Charged, Check, Evidence, Life, checks
from tests.load.kinds import KINDS
from tests.load.stack import PEPPER, Stack, running_stack
from tests.load.tally import Tally
from tests.load.traffic import Traffic, mix
from tests.load.watch import MEBI, Sample, growth, look

_PATIENCE = 60.0  # seconds that Envoy waits for a decision: a machine that does something else is no outage


@dataclass(frozen=True)
class Plan:
    """How long and how much. Times are seconds; a worker may grow by `most_growth` bytes after `warm_up`.

    `gap` lies between two events of a stream, `every` between two looks at the workers. `held` is the part of `streams`
    that must be open at every look: the others have just ended, and the next ones are being decided on. With `one_call`
    Envoy asks Process alone.
    """

    seconds: float
    streams: int
    gap: float = 1.0
    others: float = 1.0
    ramp: float = 30.0
    warm_up: float = 300.0
    every: float = 5.0
    most_growth: int = 8 * MEBI
    held: float = 0.98
    audit: str = "max_size=1MiB"
    one_call: bool = False

    @classmethod
    def of(cls, minutes: float, streams: int, gap: float, others: float, *, one_call: bool) -> Plan:
        """A run that is as long as it is told; a third of it, and at most five minutes, warm up."""
        seconds = minutes * 60
        ramp, warm_up = min(30.0, seconds / 10), min(300.0, seconds / 3)
        return cls(seconds, streams, gap, others, ramp=ramp, warm_up=warm_up, one_call=one_call)


def soak(directory: Path, plan: Plan, say: Callable[[str], None] = lambda _: None) -> Evidence:
    """Run it, wait until all of it is over, and gather what was seen."""
    flags = {
        "audit": f"file://{directory}/audit?{plan.audit}&fsync=never",
        "log-level": "info",
        "store-timeout": _PATIENCE,
    }
    with running_stack(
        directory,
        flags=flags,
        tweak=_patient,
        check_timeout=_PATIENCE,
        message_timeout=_PATIENCE,
        one_call=plan.one_call,
    ) as stack:
        pids = stack.worker_pids()
        before = _look(stack, pids)
        tally, samples = asyncio.run(_drive(stack, plan, pids, say))
        charged = _end_of(stack, tally)
        evidence = {
            "streams": int(plan.streams * plan.held),
            "tally": tally,
            "counts": stack.counts(),
            "charged": charged,
            "metrics": _metrics(stack),
        }
        after = _settled(stack, pids, before)
        if stack.worker_pids() != pids:
            raise RuntimeError("a worker died")
        stack.tidegate.stop(timeout=_PATIENCE)
    lives = [Life(before[index], tuple(row[index] for row in samples), after[index]) for index in range(len(pids))]
    books = read_books(stack.audit, PEPPER)
    return Evidence(**evidence, books=books, workers=lives, most_growth=plan.most_growth)


def _patient(document: dict[str, Any]) -> None:
    """Envoy takes no worker for dead that only waits for its turn."""
    for at in _grpc_services(document):
        # Each try has as long as the longest back-off (envoy#38847), which is 10 s where nothing is said.
        at["retry_policy"]["retry_back_off"] = {"base_interval": "0.025s", "max_interval": f"{_PATIENCE}s"}
    (policy,) = (c for c in document["static_resources"]["clusters"] if c["name"] == "tidegate")
    policy["connect_timeout"] = f"{_PATIENCE}s"
    for check in policy["health_checks"]:
        check["timeout"] = f"{_PATIENCE}s"
    for options in policy["typed_extension_protocol_options"].values():
        options["explicit_http_config"]["http2_protocol_options"]["connection_keepalive"]["timeout"] = f"{_PATIENCE}s"


def _grpc_services(document: Any) -> Iterator[dict[str, Any]]:
    for name, inside in document.items() if isinstance(document, dict) else enumerate(document):
        if name == "grpc_service":
            yield inside
        elif isinstance(inside, dict | list):
            yield from _grpc_services(inside)


async def _drive(
    stack: Stack, plan: Plan, pids: list[int], say: Callable[[str], None]
) -> tuple[Tally, list[list[Sample]]]:
    traffic = Traffic(stack.port, stack.keys, ramp=plan.ramp, patience=2 * _PATIENCE)
    samples: list[list[Sample]] = []
    began = time.monotonic()

    async def watch() -> None:
        told = 0
        while True:
            await asyncio.sleep(plan.every)
            passed = time.monotonic() - began
            if passed >= plan.seconds and (_saw_all(traffic.tally) or passed >= 10 * plan.seconds):
                traffic.stop()
            row = await asyncio.to_thread(_look, stack, pids)
            if plan.warm_up <= passed <= plan.seconds:
                samples.append(row)
            if passed // 60 > told:
                told = int(passed // 60)
                held = ", ".join(f"{sample.resident / MEBI:.1f} MiB" for sample in row)
                tally = traffic.tally
                wrong = f"; NOT RIGHT: {dict(tally.wrong)}" if tally.wrong else ""
                say(f"{told:>3} min: {tally.total:,} exchanges, {traffic.open} streams open, workers {held}{wrong}")

    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(watch())
        tally = await traffic.run(mix(streams=plan.streams, gap=plan.gap, others=plan.others))
        watching.cancel()
    return tally, samples


def _saw_all(tally: Tally) -> bool:
    """Whether each kind has had each of its right outcomes: on a machine that is slow, a short run goes on for that."""
    return all(kind.right <= tally.outcomes.get(name, {}).keys() for name, kind in KINDS.items())


def _look(stack: Stack, pids: list[int]) -> list[Sample]:
    at = time.monotonic()
    return [look(pid, at, int(stack.metric("tidegate_tasks", index))) for index, pid in enumerate(pids)]


def _end_of(stack: Stack, tally: Tally) -> Mapping[str, Charged]:
    """What stands in Redis when nothing is open any more and every exchange is counted, or when waiting is no use."""
    deadline = time.monotonic() + 2 * _PATIENCE
    while True:
        with suppress(StoreUnavailable):
            charged = {tenant: Charged(*stack.charged(tenant)) for tenant in TENANTS}
            counted = stack.metric("tidegate_responses_total") >= tally.total
            held = any(one.held or one.used.get("open", 0) for one in charged.values())
            if (counted and not held and stack.metric("tidegate_streams") == 0) or time.monotonic() > deadline:
                return charged
        time.sleep(0.05)


def _settled(stack: Stack, pids: list[int], before: list[Sample]) -> list[Sample]:
    """A look at the workers when what ends with an exchange has ended, or after ten seconds."""
    deadline = time.monotonic() + 10
    while True:
        row = _look(stack, pids)
        back = all(now.tasks <= then.tasks for now, then in zip(row, before, strict=True))
        if back or time.monotonic() > deadline:
            return row


def _metrics(stack: Stack) -> Mapping[str, float]:
    found = {
        "streams": stack.metric("tidegate_streams"),
        "scanned": stack.metric("tidegate_scanned_bytes_total"),
        "skipped": stack.metric("tidegate_skipped_bytes_total"),
        "responses": stack.metric("tidegate_responses_total"),
        "errors": stack.metric("tidegate_errors_total"),
        "audit lost": stack.metric("tidegate_audit_lost_total"),
        "envoy requests": stack.stat("http.edge.downstream_rq_active"),
        "envoy policy calls": stack.stat("cluster.tidegate.upstream_rq_active"),
    }
    for outcome in ("settled", "late", "unavailable", "failed"):
        found[f"settlement {outcome}"] = stack.metric("tidegate_settlements_total", outcome=outcome)
    return found


def tables(evidence: Evidence, rows: list[Check]) -> list[Table]:
    """What clients saw, and what was checked."""
    traffic = Table("kind", "is", "outcomes", "bytes", title="What clients saw")
    for name, outcomes in evidence.tally.outcomes.items():
        said = ", ".join(f"{outcome}: {count:,}" for outcome, count in sorted(outcomes.items()))
        traffic.add_row(name, KINDS[name].about, said, f"{evidence.tally.received[name]:,}")
    checked = Table("what", "expected", "found", "", title="What must hold")
    for row in rows:
        checked.add_row(row.what, row.expected, row.found, "ok" if row.good else "BROKEN")
    return [traffic, checked]


def figures(evidence: Evidence) -> dict[str, Any]:
    """What to compare a later run with. Sizes are bytes."""
    return {
        "exchanges": evidence.tally.total,
        "streams": list(evidence.tally.held),
        "bytes_served": sum(evidence.counts.served.values()),
        "tokens": evidence.charged[TENANTS[0]].used.get("tokens", 0),
        "growth": [round(growth(life.samples)) for life in evidence.workers],
        "resident": [life.samples[-1].resident for life in evidence.workers if life.samples],
        "proportional": [life.samples[-1].proportional for life in evidence.workers if life.samples],
    }


def main() -> int:
    """0 when everything holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--gap", type=float, default=1.0, help="seconds between two events of a stream")
    parser.add_argument("--others", type=float, default=1.0, help="requests beside the streams, times 20 a second")
    parser.add_argument("--one-call", action="store_true", help="Envoy asks Process alone")
    parser.add_argument("--keep", type=Path, help="a new directory for logs and the audit log; else they are deleted")
    given = parser.parse_args()
    with nullcontext(given.keep) if given.keep else tempfile.TemporaryDirectory(prefix="tidegate-soak-") as place:
        plan = Plan.of(given.minutes, given.streams, given.gap, given.others, one_call=given.one_call)
        evidence = soak(Path(place), plan, lambda line: print(line, flush=True))
    rows = checks(evidence)
    for table in tables(evidence, rows):
        Console().print(table)
    print(json.dumps(figures(evidence)))
    return 0 if all(row.good for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
