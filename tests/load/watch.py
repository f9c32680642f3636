"""What a process holds, looked at while it works: memory, file descriptors, tasks. Linux alone tells all of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

KIB, MEBI = 1 << 10, 1 << 20
_MOST = 200
"""Samples that a slope is taken of: it looks at every pair."""


class Sample(NamedTuple):
    """One look at a process, `at` seconds of a monotonic clock. `resident` and `proportional` (RSS, PSS) are bytes."""

    at: float
    resident: int
    proportional: int
    descriptors: int
    threads: int
    tasks: int = 0


def look(pid: int, at: float, tasks: int = 0) -> Sample:
    """What a process holds now. Raises OSError when it is gone."""
    process = Path(f"/proc/{pid}")
    memory = _fields((process / "smaps_rollup").read_text())
    threads = _fields((process / "status").read_text())["Threads"]
    descriptors = sum(1 for _ in (process / "fd").iterdir())
    return Sample(at, memory["Rss"] * KIB, memory["Pss"] * KIB, descriptors, threads, tasks)


def growth(samples: Sequence[Sample]) -> float:
    """Bytes by which what is resident grew over the samples, by their Theil-Sen slope (Sen, 1968).

    It is the median of the slopes of all pairs, so a peak that is over changes nothing, nor does a step in the first
    or the last third. 0 for fewer than two samples.
    """
    step = -(-len(samples) // _MOST)
    taken = samples[:: max(1, step)]
    slopes = [
        (later.resident - sooner.resident) / (later.at - sooner.at)
        for place, sooner in enumerate(taken)
        for later in taken[place + 1 :]
        if later.at > sooner.at
    ]
    return median(slopes) * (taken[-1].at - taken[0].at) if slopes else 0.0


def _fields(text: str) -> dict[str, int]:
    fields = {}
    for line in text.splitlines():
        name, _, value = line.partition(":")
        number = value.split()[0] if value.split() else ""
        if number.isdigit():
            fields[name] = int(number)
    return fields
