"""An example for the safety classifier: a passage, and which categories it is in, is not in, or may be in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from zlib import crc32

from tidegate.filtering.safety.categories import CATEGORIES

Labels = tuple[bool | None, ...]
HARMLESS: Final[Labels] = (False,) * len(CATEGORIES)


@dataclass(frozen=True, slots=True)
class Example:
    """A passage, what it is an example of (by CATEGORIES), where it is from, and whether it is there to judge by."""

    text: str
    labels: Labels
    source: str
    held_out: bool


def labels(**known: bool | None) -> Labels:
    """Labels by category; what is not named is not an example of it."""
    return tuple(known.get(name, False) for name in CATEGORIES)


def held(text: str, one_in: int = 10) -> bool:
    """Whether a text is there to judge by: by what it says, so that a text that comes twice is not in both."""
    return crc32(text.encode()) % one_in == 0
