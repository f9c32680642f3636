"""How much a running response may still cost: what its reservation holds, and what has to be asked for on top.

More is asked for in steps of a quarter of what was reserved, at least 64, so that a stream asks seldom. A step that is
refused is quartered, down to what is needed: so a stream can use a limit to its end, and asks seldom there, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from tidegate.model import Hold

Answer = Literal["extended", "refused", "gone", "unavailable"]
"""What came of an extension; "unavailable" when the store did not answer."""

_PARTS: Final = 4
_SMALLEST_STEP: Final = 64


class Allowance:
    """The amounts of one reservation. `limits` are the names of those that may refuse more."""

    def __init__(self, hold: Hold) -> None:
        self.limits = hold.limits
        self._held = dict(hold.amounts)
        self._steps = {unit: max(amount // _PARTS, _SMALLEST_STEP) for unit, amount in hold.amounts}
        self._short: dict[str, int] = {}
        self._asked: dict[str, int] = {}
        self._ends = bool(hold.amounts)

    @property
    def held(self) -> Mapping[str, int]:
        """What it holds now, by unit."""
        return self._held

    def demand(self, costs: Mapping[str, int]) -> Mapping[str, int] | None:
        """What must be held on top (by unit) for a response that has cost `costs`, None when nothing must."""
        if not self._ends:
            return None
        self._short = {unit: costs[unit] - held for unit, held in self._held.items() if costs[unit] > held}
        return self._ask() if self._short else None

    def answered(self, answer: Answer) -> Mapping[str, int] | Literal["go", "stop"]:
        """Whether the response may go on after the last demand, or what to ask for instead.

        It goes on where nobody can say no: the store is out ("unavailable", counted here as if it had been granted,
        and settled in the end), or knows the reservation no longer ("gone", then nothing is asked for again).
        """
        if answer == "refused":
            if self._asked == self._short:
                return "stop"
            self._steps = {unit: step // _PARTS for unit, step in self._steps.items()}
            return self._ask()
        for unit, amount in self._asked.items():
            self._held[unit] += amount
        self._ends = answer != "gone"
        return "go"

    def _ask(self) -> Mapping[str, int]:
        self._asked = {unit: max(short, self._steps[unit]) for unit, short in self._short.items()}
        return self._asked
