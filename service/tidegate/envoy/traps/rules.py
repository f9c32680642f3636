"""Every trap that a configuration can show, and those that one shows."""

from __future__ import annotations

from typing import Final, NamedTuple

from tidegate.envoy.traps.breaks import BREAKS
from tidegate.envoy.traps.leaks import LEAKS
from tidegate.envoy.traps.parts import parts_of
from tidegate.envoy.traps.reading import Part
from tidegate.envoy.traps.trap import Trap
from tidegate.envoy.traps.trusts import TRUSTS

TRAPS: Final = (*LEAKS, *TRUSTS, *BREAKS)


class Trapped(NamedTuple):
    """One trap of a file: where it is, what would happen and what to write."""

    trap: Trap
    line: int
    where: str

    def __str__(self) -> str:
        return f"{self.where}: {self.trap.happens}; {self.trap.write} [{self.trap.harm}: {self.trap.name}]"


def trapped(config: Part) -> list[Trapped]:
    """The traps of a configuration, by line. One without tidegate's filters has a trap for that."""
    parts = parts_of(config)
    found = [Trapped(trap, part.line, part.where) for trap in TRAPS for part in trap.found(parts) if part is not None]
    return sorted(set(found), key=lambda one: (one.line, one.trap.name))
