"""The units of a stream as they come out of a rewriter: events, or lines; each with the JSON that it carries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from tidegate.filtering.formats.json_text import BLANK, dump
from tidegate.filtering.formats.lines import Lines
from tidegate.filtering.formats.live import decode
from tidegate.filtering.formats.sse_error import Speech
from tidegate.filtering.formats.sse_frames import Frames, join, split


class Unit(NamedTuple):
    """One event or line: its JSON or text, None where it has none, and its other lines."""

    payload: str | None
    others: list[str]


class Units:
    """Cuts a stream into units and writes them. Raises MalformedBody, BodyTooLarge. `speech` is of an event stream."""

    def __init__(self, kind: Literal["sse", "ndjson"], *, max_unit: int) -> None:
        self.speech = Speech()
        self._events = kind == "sse"
        self._frames = Frames(max_unit)
        self._lines = Lines(max_unit)

    def feed(self, data: bytes) -> Iterator[Unit]:
        """The units that `data` completes."""
        if self._events:
            yield from map(self._event, self._frames.feed(data))
        else:
            yield from map(_line, self._lines.feed(data))

    def finish(self) -> Iterator[Unit]:
        """The stream is over: the last one, when nothing ended it."""
        if self._events:
            yield from map(self._event, self._frames.finish())
        else:
            yield from map(_line, self._lines.finish())

    def write(self, unit: Unit) -> str:
        """A unit as it leaves."""
        if not self._events:
            return f"{unit.payload or ''}\n"
        return join(unit.others, unit.payload) if unit.others or unit.payload is not None else "\n"

    def error(self, code: str, message: str) -> bytes:
        """How the stream says that it ends early."""
        if self._events:
            return self.speech.error(code, message)
        return f"{dump({'error': message, 'code': code})}\n".encode()

    def _event(self, frame: list[str]) -> Unit:
        if not frame:
            return Unit(None, [])
        _, payload, others = split(frame)
        self.speech.event()
        return Unit(payload, others)


def _line(raw: bytes) -> Unit:
    line = decode(raw, "a line").removesuffix("\n")
    return Unit(line if line.strip(BLANK) else None, [])
