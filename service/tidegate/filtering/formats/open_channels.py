"""What is open in a stream, found by the beginning of its channel: what ends must not cost a look at all that runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tidegate.filtering.formats.dialect import Channel

ALL: Final[tuple[Channel, ...]] = ((),)
"""What all channels begin like."""

_LONGEST: Final = 5  # steps of a beginning that ends (`Reading.ends`)


class OpenChannels:
    """Channels in the order in which they opened."""

    def __init__(self) -> None:
        self._under: dict[Channel, dict[Channel, None]] = {}

    def add(self, channel: Channel) -> None:
        """It is open, if it was not."""
        for size in range(min(len(channel), _LONGEST) + 1):
            self._under.setdefault(channel[:size], {})[channel] = None

    def discard(self, channel: Channel) -> None:
        """It is open no longer, if it was."""
        for size in range(min(len(channel), _LONGEST) + 1):
            known = self._under.get(channel[:size])
            if known is None or channel not in known:
                return
            del known[channel]
            if not known:
                del self._under[channel[:size]]

    def under(self, ends: Iterable[Channel]) -> list[Channel]:
        """Those that begin like any of `ends`, each once."""
        return list(dict.fromkeys(channel for end in ends for channel in self._under.get(end, ())))
