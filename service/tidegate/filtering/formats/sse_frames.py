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

    def feed(self, data: bytes) -> Iterator[list[str]]:
        """The frames that `data` completes."""
        if self._after_cr and data:
            data = data.removeprefix(b"\n")
            self._after_cr = False
        lines = _LINE_END.split(data)
        self._after_cr = data.endswith(b"\r")
        self._partial += lines[0]
        if len(lines) > 1:
            lines[0] = self._begin(bytes(self._partial))
            self._partial = bytearray(lines.pop())
            for line in lines:
                if line:
                    self._line(line)
                else:
                    yield self._take()
        if self._partial:
            self._check(len(self._partial))

    def finish(self) -> Iterator[list[str]]:
        """The stream is over: the last event, when no blank line ended it."""
        line = self._begin(bytes(self._partial))
        if line:
            self._line(line)
        if self._lines:
            yield self._take()

    def _begin(self, line: bytes) -> bytes:
        if not self._first:
            return line
        self._first = False
        self._check(len(line))
        return line.removeprefix(_BOM)

    def _take(self) -> list[str]:
        frame, self._lines, self._size = self._lines, [], 0
        return frame

    def _check(self, more: int) -> None:
        if self._size + more > self._max:
            raise BodyTooLarge(f"an event of more than {self._max} bytes")

    def _line(self, line: bytes) -> None:
        self._check(len(line))
        self._size += len(line) + 1
        try:
            self._lines.append(line.decode())
        except UnicodeDecodeError as fault:
            raise MalformedBody("an event that is not UTF-8") from fault


def split(frame: list[str]) -> tuple[str, str | None, list[str]]:
    """An event's name, its data (None when it has none), and its other lines."""
    if len(frame) == 1 and frame[0].startswith("data: "):
        return "message", frame[0][6:], []
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
    if not others and data is not None and "\n" not in data:
        return f"data: {data}\n\n"
    lines = [*others, *(f"data: {line}" for line in data.split("\n"))] if data is not None else others
    return "\n".join([*lines, "", ""])
