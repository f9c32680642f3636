"""Which ways there are to read a text as within a tag of HTML that is not closed yet."""

from __future__ import annotations

import re
from typing import Final

QUOTES: Final = "\"'"
TAG: Final = re.compile(r"</?([A-Za-z][A-Za-z0-9:-]{0,31})(?![^\s/>])", re.ASCII | re.IGNORECASE)
"""The beginning of a tag, and its name."""

_EVENTS: Final = re.compile(r"<(?=[A-Za-z])|[>\"'=]")
_SPACE: Final = re.compile(r"\s*", re.ASCII)


class OpenTag:
    """Which ways there are to read the text as within a tag, up to `walked`.

    `open` has "" for between attributes, a quote for in one that has it, "=" for behind that sign. `links` tells
    whether all tags that may be open are such that their reader follows them.
    """

    def __init__(self) -> None:
        self.open: set[str] = set()
        self.walked = 0
        self.links = False

    def walk(self, text: str, end: int) -> None:
        """Read on to `end`. What stands behind it is looked at where a sign needs it."""
        at = self.walked
        if "=" in self.open:
            at = self._behind(text, at)
        while at < end:
            event = _EVENTS.search(text, at) if self.open else None
            if event is None or event.start() >= end:
                break
            at = event.end()
            match event[0]:
                case ">":
                    self.open.discard("")
                case "=":
                    if "" in self.open:
                        self.open.discard("")
                        self.open.add("=")
                        at = self._behind(text, at)
                case "<":
                    self.links = False
                    self.open.add("")
                case quote if quote in self.open:
                    self.open.discard(quote)
                    self.open.add("")
        self.walked = max(at, end)

    def begin(self, text: str, at: int) -> None:
        """A tag begins here, the name of which is known to its end."""
        tag = TAG.match(text, at)
        links = tag is not None and tag[1].lower() in ("a", "area")
        self.links = links and (self.links or not self.open)
        self.open.add("")
        self.walked = at + 1

    def _behind(self, text: str, at: int) -> int:
        """What follows a =: a quote, or a value without."""
        at = past_space(text, at)
        if at < len(text):
            self.open.discard("=")
            quoted = text[at] in QUOTES
            self.open.add(text[at] if quoted else "")
            at += quoted
        return at


def past_space(text: str, at: int) -> int:
    """The place behind the space that begins here."""
    found = _SPACE.match(text, at)
    return at if found is None else found.end()
