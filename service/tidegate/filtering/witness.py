"""Who is told of each value that a plan finds: what explains a policy to the person who writes it."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Found(NamedTuple):
    """One value. `detector` is the row's name; `start` counts the characters before it in its own text.

    `where` is the path of the field, "" where the text does not know it (`Witness.placed` may follow). `value` is what
    was found, up to its detector's cap, and `instead` what stands in its place; None where the value stays.
    """

    entity: str
    detector: str
    act: str
    where: str
    start: int
    value: str
    instead: str | None


class Witness(Protocol):
    """Sees found values themselves. Only for who may read the text anyway: nothing of it may be logged."""

    def found(self, found: Found) -> str:
        """Is told of a value, and says what is written in its place: `instead`, in colour perhaps; "" for None."""

    def placed(self, path: tuple[str | int, ...], where: str) -> None:
        """Every value that was found and had no place yet stands at `path` of its document, or else at `where`."""

    @property
    def waiting(self) -> bool:
        """Whether such values wait for their place."""
