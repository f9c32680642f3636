"""What filtering a text costs: seconds of processor time per MiB, on a core that counts to a million in `COUNTING`."""

from __future__ import annotations

import math
from collections.abc import Callable
from time import process_time

SIZE = 1 << 20
PART = 1 << 14
WHOLE = 1.25
"""Seconds that a MiB may cost as one text."""

COUNTING = 0.016
TRIES = 6
"""A machine that does other work may be slow in some of them."""


def seconds(work: Callable[[], object]) -> float:
    start = process_time()
    work()
    return process_time() - start


def _slowness() -> float:
    return max(1.0, min(seconds(lambda: sum(1 for _ in range(100_000))) for _ in range(3)) * 10 / COUNTING)


def per_mib(work: Callable[[str], object], text: str, bound: float) -> float:
    """What a MiB of such text costs, by the best of `TRIES`, or the first that is below the bound."""
    work(text[:PART])
    best = math.inf
    for _ in range(TRIES):
        best = min(best, seconds(lambda: work(text)) * SIZE / len(text) / _slowness())
        if best < bound:
            break
    return best
