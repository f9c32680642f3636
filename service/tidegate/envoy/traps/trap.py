"""One trap: what would happen, what to write in its place, and how it is found."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from tidegate.envoy.traps.parts import Parts
from tidegate.envoy.traps.reading import Part

Harm = Literal["leaks", "trusts", "breaks"]
"""What a trap does: lets through what must not pass, believes what a client says, or fails requests."""


@dataclass(frozen=True, slots=True)
class Trap:
    """`found` gives the parts that show it, or the part that lacks what would avoid it."""

    name: str
    harm: Harm
    happens: str
    write: str
    found: Callable[[Parts], Iterable[Part | None]]
