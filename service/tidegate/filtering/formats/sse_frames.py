"""Server-sent events as frames (WHATWG, "Interpreting an event stream"): lines up to a blank one, cut anywhere.

Framing leaves normalised: lines end in LF, a byte order mark at the start is dropped, data is written "data: ".
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tidegate.errors import BodyTooLarge, MalformedBody

_LINE_END = re.compile(rb"\r\n|\r|\n")
_BOM = b"\xef\xbb\xbf"


class Frames:
    """Bytes in, frames out: the lines of one event each, [] for a blank line that ends no event."""

    def __init__(self, max_event: int) -> None:
        self._max = max_event
        self._partial = bytearray()
        self._after_cr = False
        self._first = True
        self._lines: list[str] = []
        self._size = 0

    @property
    def held(self) -> int:
        """How many bytes of an event that is not complete are held."""
        return self._size + len(self._partial)

    def feed(self, data: bytes) -> Iterator[list[str]]:
        """The frames that `data` completes."""
        if self._after_cr and data:
            data = data.removeprefix(b"\n")
            self._after_cr = False
        pieces = _LINE_END.split(data)
        self._after_cr = data.endswith(b"\r")
        self._partial += pieces[0]
        for piece in pieces[1:]:
            frame = self._line()
            if frame is not None:
                yield frame
            self._partial += piece
        if self._partial:
            self._check()

    def finish(self) -> Iterator[list[str]]:
        """The stream is over: the last event, when no blank line ended it."""
        if self._partial:
            self._line()
        if self._lines:
            frame, self._lines, self._size = self._lines, [], 0
            yield frame

    def _check(self) -> None:
        if self.held > self._max:
            raise BodyTooLarge(f"an event of more than {self._max} bytes")

    def _line(self) -> list[str] | None:
        """Take the line that just ended; the frame, when it was the blank one."""
        if self._partial:
            self._check()
        line = bytes(self._partial)
        self._partial.clear()
        if self._first:
            line = line.removeprefix(_BOM)
            self._first = False
        if not line:
            frame, self._lines, self._size = self._lines, [], 0
            return frame
        self._size += len(line) + 1
        try:
            self._lines.append(line.decode())
        except UnicodeDecodeError as fault:
            raise MalformedBody("an event that is not UTF-8") from fault
        return None


def split(frame: list[str]) -> tuple[str, str | None, list[str]]:
    """An event's name, its data (None when it has none), and its other lines."""
    name = "message"
    data: list[str] = []
    others: list[str] = []
    for line in frame:
        field, _, value = line.partition(":")
        if field == "data":
            data.append(value.removeprefix(" "))
        else:
            others.append(line)
            if field == "event":
                name = value.removeprefix(" ")
    return name, "\n".join(data) if data else None, others


def join(others: list[str], data: str | None) -> str:
    """A frame as it leaves: the data stands last."""
    lines = [*others, *(f"data: {line}" for line in data.split("\n"))] if data is not None else others
    return "\n".join([*lines, "", ""])
