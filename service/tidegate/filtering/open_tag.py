"""Which ways there are to read a text as within a tag of HTML that is not closed yet."""

from __future__ import annotations

import re
from typing import Final

QUOTES: Final = "\"'"
TAG: Final = re.compile(r"</?([A-Za-z][A-Za-z0-9:-]{0,31})(?![^\s/>])", re.ASCII | re.IGNORECASE)
"""The beginning of a tag, and its name."""

_EVENTS: Final = re.compile(r"<(?=[A-Za-z])|[>\"'=\n]")
_LINE_BEGINS: Final = re.compile(r"[ \t>]*")
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
        self._line_begins = False

    def walk(self, text: str, end: int) -> None:
        """Read on to `end`. What stands behind it is looked at where a sign needs it."""
        at = self.walked
        if self._line_begins and self.open:
            at = self._begin_line(text, at, end)
        if "=" in self.open:
            at = self._behind(text, at)
        while at < end:
            event = _EVENTS.search(text, at) if self.open else None
            if event is None or event.start() >= end:
                break
            at = event.end()
            match event[0]:
                case "\n":
                    at = self._begin_line(text, at, end)
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
        self._line_begins = False

    def _begin_line(self, text: str, at: int, end: int) -> int:
        """What a quotation begins each of its lines with (CommonMark 5.1) closes no tag."""
        begun = _LINE_BEGINS.match(text, at, end)
        at = at if begun is None else begun.end()
        self._line_begins = at >= end
        return at

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
