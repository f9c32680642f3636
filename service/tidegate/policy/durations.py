"""The small notations of the policy document: durations, refill rates and sizes. Each refuses what it cannot hold."""

from __future__ import annotations

import re
from collections.abc import Callable

MAX_COUNT = 2**40
DAY = 86_400.0
MAX_WINDOW = 31 * DAY

DURATION_PATTERN = r"^[0-9]{1,9}(ms|s|m|h|d)$"
REFILL_PATTERN = r"^[0-9]{1,13}(\.[0-9]{1,6})?/[0-9]{1,9}(ms|s|m|h|d)$"
SIZE_PATTERN = r"^[0-9]{1,10}(B|KiB|MiB|GiB)$"

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_BYTES = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_DURATION = re.compile(r"([0-9]{1,9})(ms|s|m|h|d)")
_REFILL = re.compile(r"([0-9]{1,13}(?:\.[0-9]{1,6})?)/([0-9]{1,9}(?:ms|s|m|h|d))")
_SIZE = re.compile(r"([0-9]{1,10})(B|KiB|MiB|GiB)")


def parse_duration(value: object) -> float:
    """Seconds in "150ms", "60s", "5m", "1h" or "1d"; ValueError for anything else."""
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"must be a duration such as 150ms, 60s, 5m, 1h or 1d, not {shown(value)}")
    number, unit = int(found[1]), found[2]
    return number / 1000 if unit == "ms" else float(number * _SECONDS[unit])


def duration_text(seconds: float) -> str:
    """The shortest notation of a whole number of milliseconds: what `parse_duration` reads as the same."""
    if seconds % 1:
        return f"{seconds * 1000:.0f}ms"
    unit, length = next((unit, length) for unit, length in reversed(_SECONDS.items()) if seconds % length == 0)
    return f"{seconds / length:.0f}{unit}"


def parse_refill(value: object, amount: Callable[[object], int] | None = None) -> tuple[int, float]:
    """Tokens and seconds in "20/60s"; ValueError for anything else, or out of bounds.

    `amount` reads what stands before the stroke where that is no count: an amount of money.
    """
    found = _REFILL.fullmatch(value) if isinstance(value, str) else None
    if found is None or (amount is None and "." in found[1]):
        form = 'tokens per duration such as "20/60s"' if amount is None else 'an amount per duration such as "0.50/60s"'
        raise ValueError(f"must be {form}, not {shown(value)}")
    tokens, period = amount(found[1]) if amount else int(found[1]), parse_duration(found[2])
    if not 1 <= tokens <= MAX_COUNT:
        raise ValueError(f"tokens must be from 1 to {MAX_COUNT}, not {tokens}")
    return tokens, bounded(period, 0.01, MAX_WINDOW, "10ms to 31d")


def parse_size(value: object) -> int:
    """Bytes in "64KiB", "4MiB" or a plain integer; ValueError for anything else, or outside 1 B to 1 GiB."""
    if isinstance(value, int) and not isinstance(value, bool):
        size = value
    else:
        found = _SIZE.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            raise ValueError(f'must be a number of bytes or a size such as "4MiB", not {shown(value)}')
        size = int(found[1]) * _BYTES[found[2]]
    if not 1 <= size <= 1024**3:
        raise ValueError("must be from 1 byte to 1GiB")
    return size


def bounded(seconds: float, low: float, high: float, words: str) -> float:
    """`seconds`, when it lies in low..high; else a ValueError that gives the bounds in `words`."""
    if not low <= seconds <= high:
        raise ValueError(f"must be from {words}")
    return seconds


def shown(value: object) -> str:
    """A value as an error message shows it: quoted, and never long."""
    text = repr(value) if isinstance(value, str | int | float | bool) else f"a {type(value).__name__}"
    if isinstance(value, bool):
        return str(value).lower()
    return text if len(text) <= 60 else f"{text[:57]}..."
