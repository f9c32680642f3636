"""What a model of names does, whichever it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

PERSON: Final = "PERSON"
LOCATION: Final = "LOCATION"
ORGANIZATION: Final = "ORGANIZATION"
NAMES: Final = frozenset({PERSON, LOCATION, ORGANIZATION})
"""The entities that models of names may find."""


class Name(NamedTuple):
    """A name in a sentence: characters `start` to `end`."""

    entity: str
    start: int
    end: int


class Model(Protocol):
    """Reads sentences, from any thread. What it finds in one does not depend on those that are read with it."""

    @property
    def name(self) -> str:
        """What found a name, for explanations."""

    @property
    def entities(self) -> frozenset[str]:
        """What it may find."""

    def read(self, sentences: Sequence[str]) -> list[list[Name]]:
        """The names in each sentence, by start, none within another. Raises `TidegateError`."""
