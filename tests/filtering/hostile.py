"""Texts that cost a row the most, made from the row itself: what begins as its values do and comes to nothing."""

from __future__ import annotations

from collections.abc import Iterator

from tidegate.filtering.detector import Detector


def units(row: Detector) -> Iterator[str]:
    """What to repeat: values, near misses, beginnings and words of the row, with and without something between them."""
    value, miss = row.positives[0], max(row.negatives, key=len)
    beginning = value[: max(4, len(value) // 2)]
    yield f"{value} "
    yield f"{miss} "
    yield f"{miss}_"
    yield beginning
    yield f"{beginning} "
    yield value[:-1]
    yield f"{value[:-1]} "
    yield f"{value[:-1]}~"  # a guard's and a boundary's character instead of the last
    yield f"{value[0]}{value[len(value) // 2]}"
    if row.near:
        yield f"{value.split()[0][:12]} "


def repeated(unit: str, size: int) -> str:
    """The unit, over and over, to this many characters."""
    return (unit * (size // len(unit) + 1))[:size]
