"""Which fields of a JSON document the rules look into, by JSON pointers (RFC 6901)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

ITEMS: Final = "*"
"""In place of an index: every item of an array."""


@dataclass(frozen=True, slots=True)
class Pointer:
    """A place in a document, and all that is below it."""

    text: str
    steps: tuple[str, ...]

    def covers(self, path: tuple[str | int, ...]) -> bool:
        """Whether `path` (keys and indices from the top) is this place or below it."""
        return len(path) >= len(self.steps) and all(map(_is_step, self.steps, path))


@dataclass(frozen=True, slots=True)
class Selection:
    """What is read: `only` these places (all where empty), less what is at `skip`; `keys` says whether keys are."""

    only: tuple[Pointer, ...] = ()
    skip: tuple[Pointer, ...] = ()
    keys: bool = True

    def skips(self, path: tuple[str | int, ...], *, key: bool = False) -> str:
        """The receipt's word for why the field at `path` is not read; "" when it is. A key's path ends with itself."""
        if key and not self.keys:
            return "policy_keys"
        for pointer in self.skip:
            if pointer.covers(path):
                return f"policy{pointer.text}"
        if self.only and not any(pointer.covers(path) for pointer in self.only):
            return "policy"
        return ""

    def names(self, path: tuple[str | int, ...]) -> bool:
        """Whether `skip` says by name that `path` is left alone."""
        return any(pointer.covers(path) for pointer in self.skip)


def parse_pointer(text: str) -> Pointer:
    """Raises ValueError for what is no pointer, and for the one to the whole document."""
    first, *steps = text.split("/")
    if first or not steps:
        raise ValueError('must be a JSON pointer such as "/outputs/*/data"')
    if any("~" in step.replace("~0", "").replace("~1", "") for step in steps):
        raise ValueError('in a JSON pointer "~" is written "~0" and "/" is written "~1"')
    return Pointer(text, tuple(step.replace("~1", "/").replace("~0", "~") for step in steps))


def selection_of(only: Iterable[str], skip: Iterable[str], *, keys: bool) -> Selection | None:
    """None when everything is read. Raises ValueError."""
    chosen = Selection(tuple(map(parse_pointer, only)), tuple(map(parse_pointer, skip)), keys)
    return None if chosen == Selection() else chosen


def _is_step(step: str, at: str | int) -> bool:
    return step == at if isinstance(at, str) else step in (ITEMS, str(at))
