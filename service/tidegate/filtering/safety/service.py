"""What a moderation service is to us: how it is asked about passages, and what its answer says of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class Unusable(ValueError):
    """An answer that is not what the service publishes. The text is for our own records and quotes nothing of it."""


class Service(Protocol):
    """Translates, and neither waits nor counts. `most` is how many passages one call may ask about."""

    name: str
    entities: frozenset[str]
    most: int
    url: str
    headers: Mapping[str, str]

    def question(self, passages: Sequence[str]) -> bytes:
        """The body of a call about these passages, at most `most`."""

    def verdicts(self, answer: bytes, *, count: int) -> Sequence[Sequence[str]]:
        """The categories of each of the `count` passages that were asked about. Raises Unusable."""


def sendable(passage: str) -> str:
    """The passage without lone surrogates, which JSON in UTF-8 cannot carry."""
    return passage if passage.isascii() else passage.encode("utf-8", "replace").decode()
