"""What finds values that no pattern describes: names, unsafe sentences, listed terms.

A spotter reads what the patterns let out, so what another service is shown has been redacted already. It says where
values stand, and `tidegate.filtering.spotted` does what the policy wants done with them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol, runtime_checkable


class Effort(IntEnum):
    """What reading a text takes, and so where it is done."""

    QUICK = 0  # on the event loop
    LONG = 1  # computes: on the thread for long steps
    WAIT = 2  # waits for another service: on a thread of a pool


class Unread(NamedTuple):
    """Pieces of a text that not every detector read, by why, and the bytes of them."""

    pieces: Mapping[str, int]
    size: int


NOTHING_UNREAD: Final = Unread(MappingProxyType({}), 0)


class Mark(NamedTuple):
    """A value: characters `start` to `end`, counted from the start of the text. `name` is of what found it."""

    entity: str
    name: str
    start: int
    end: int


class Reading(Protocol):
    """One text, read in chunks. What it tells depends on the text and not on how it was cut.

    Raises `TidegateError` when it cannot be read: nothing that was not read is let out.
    """

    @property
    def decided(self) -> int:
        """The place before which every mark begins that was told; no text to come changes or adds to them."""

    def feed(self, text: str) -> Sequence[Mark]:
        """The next chunk; the marks that it makes certain, by their start. Each is told once, and is not empty."""

    def finish(self) -> Sequence[Mark]:
        """The text is over; the marks that were still open."""


@runtime_checkable
class Candid(Protocol):
    """A reading that may let pass what it could not read, where the policy wants that, and says so."""

    @property
    def unread(self) -> Mapping[str, int]:
        """How many pieces of the text it did not read, by why: the receipt's words."""

    @property
    def unread_bytes(self) -> int:
        """What they have in UTF-8."""


class Spotter(Protocol):
    """A detector as configured; without state, and shared between threads and texts."""

    @property
    def entities(self) -> frozenset[str]:
        """What it may find."""

    @property
    def effort(self) -> Effort:
        """What its readings take."""

    @property
    def cap(self) -> int:
        """The most characters that a reading leaves undecided."""

    def open(self) -> Reading:
        """Begin with a text."""
