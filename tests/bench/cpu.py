"""Processor time of processes and all that they started, from /proc: Linux alone says it without a library."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


def used(groups: Mapping[str, Iterable[int]]) -> dict[str, float]:
    """Seconds, user and system, that the processes of each group and their living descendants have used so far.

    A process that has ended counts with its parent, where that has waited for it. In steps of 10 ms.
    """
    seconds: dict[int, float] = {}
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):  # gone meanwhile
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                pid, parent = int(entry.name), int(fields[1])
                seconds[pid] = sum(map(int, fields[11:15])) / _TICK
                children.setdefault(parent, []).append(pid)

    def total(pid: int) -> float:
        return seconds.get(pid, 0.0) + sum(total(child) for child in children.get(pid, ()))

    return {name: sum(total(pid) for pid in pids) for name, pids in groups.items()}
