"""What filtering costs: seconds of processor time a megabyte, on a core that counts to a million in `COUNTING`."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable
from time import process_time

SIZE = 1_000_000
PART = 1 << 14
WHOLE = 1.0
"""Seconds that a megabyte may cost as one text."""

SPOTTED = 2.5
"""Seconds that a megabyte may cost a detector beside the table, which takes a second or less of nearly all texts."""

CHUNK = 16
CUT = 3.0
"""The same in chunks of so many characters: 62,500 of them, at 48 microseconds each."""

GROWTH = 2.6
"""What a text may cost of what half of it does: twice as much, and more for a machine that does other work."""

LITTLE = 0.02
"""Seconds of which growth cannot be told."""

COUNTING = 0.016
TRIES = 8
"""A machine that does other work may be slow in some of them."""


def seconds(work: Callable[[], object]) -> float:
    """Without the collector, which walks whatever else the process holds."""
    collects = gc.isenabled()
    gc.disable()
    try:
        start = process_time()
        work()
        return process_time() - start
    finally:
        if collects:
            gc.enable()


def _slowness() -> float:
    return max(1.0, min(seconds(lambda: sum(1 for _ in range(100_000))) for _ in range(3)) * 10 / COUNTING)


def per_mb(work: Callable[[str], object], text: str, bound: float) -> float:
    """What a megabyte of such text costs, by the best of `TRIES`, or the first that is below the bound."""
    work(text[:PART])
    size = len(text.encode("utf-8", "surrogatepass"))
    best = math.inf
    for _ in range(TRIES):
        best = min(best, seconds(lambda: work(text)) * SIZE / size / _slowness())
        if best < bound:
            break
    return best


def growth(work: Callable[[str], object], text: str) -> float:
    """How much more a text costs than half of it, by the least of `TRIES`, or the first that is below `GROWTH`."""
    half = text[: len(text) // 2]
    once = twice = math.inf
    for _ in range(TRIES):
        once, twice = min(once, seconds(lambda: work(half))), min(twice, seconds(lambda: work(text)))
        if twice < GROWTH * max(once, LITTLE):
            break
    return twice / max(once, LITTLE)


def dear(work: Callable[[str], object], text: str, bound: float = WHOLE) -> str:
    """What is wrong with the cost of such text, "" where it is linear and below the bound."""
    if (cost := per_mb(work, text, bound)) >= bound:
        return f"{cost:.2f} s a megabyte"
    if (grown := growth(work, text[: len(text) // 4])) >= GROWTH:
        return f"{grown:.1f} times as much for twice the text"
    return ""
