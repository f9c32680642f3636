"""A body that passes as it is, read beside: for what wants to know it and not to change it."""

from __future__ import annotations

from typing import Any, Protocol

from tidegate.errors import BodyTooLarge, MalformedBody
from tidegate.filtering.formats.json_text import BLANK, parse
from tidegate.filtering.formats.lines import Lines, error_line
from tidegate.filtering.formats.sse_error import DONE, Speech
from tidegate.filtering.formats.sse_frames import Frames, split

_TEXTS = ("csv", "text")


class Observer(Protocol):
    """Is shown a body as it is read, each part of it once and in order. Must not raise or change anything."""

    def document(self, document: Any) -> None:
        """A JSON document, or the data of one event."""

    def text(self, text: str) -> None:
        """Text that stands in no document, or the piece by which an event differs from the one before it."""

    def unread(self, size: int) -> None:
        """`size` bytes that could not be decoded."""


class Listening:
    """One body of a format. Never raises: what cannot be decoded is shown as so many unread bytes."""

    def __init__(self, kind: str, observer: Observer, *, max_bytes: int, max_event: int = 262144) -> None:
        self._kind = kind
        self._observer = observer
        self._max_bytes = max_bytes
        self._frames = Frames(min(max_event, max_bytes))
        self._lines = Lines(min(max_event, max_bytes))
        self._body = bytearray()
        self._size = 0
        self._shown = 0
        self._lost = False
        self._speech = Speech()

    def feed(self, data: bytes) -> None:
        """The next bytes, cut anywhere."""
        if self._lost or self._kind in _TEXTS:
            self._observer.unread(len(data))
        elif self._kind == "sse":
            self._events(data)
        elif self._kind == "ndjson":
            self._documents(data)
        elif len(self._body) + len(data) > self._max_bytes:
            self._give_up(len(self._body) + len(data))
        else:
            self._body += data

    def finish(self, *, whole: bool = True) -> None:
        """The body is over. One that is not `whole` was cut off, and so was its last event."""
        if self._lost or self._kind in _TEXTS:
            return
        if self._kind == "sse":
            if whole:
                self._events(None)
        elif self._kind == "ndjson":
            if whole:
                self._documents(None)
        elif self._body:
            body, self._body = bytes(self._body), bytearray()
            try:
                self._observer.document(parse(body.decode()))
            except (UnicodeDecodeError, MalformedBody):
                self._observer.unread(len(body))

    def abort(self, code: str, message: str) -> bytes:
        """The ending of a stream of events or lines when it is cut off here, b"" for other formats."""
        match self._kind:
            case "sse":
                return self._speech.error(code, message)
            case "ndjson":
                return error_line(code, message).encode()
        return b""

    def _events(self, data: bytes | None) -> None:
        self._size += len(data or b"")
        try:
            for frame in self._frames.finish() if data is None else self._frames.feed(data):
                self._shown += 1 + sum(1 + len(line.encode()) for line in frame)
                payload = split(frame)[1] if frame else None
                if payload is not None and payload.strip(BLANK) != DONE:
                    self._event(payload)
        except (MalformedBody, BodyTooLarge):
            # However the bytes were cut: all that came less the events that were shown.
            self._give_up(max(0, self._size - self._shown))

    def _documents(self, data: bytes | None) -> None:
        self._size += len(data or b"")
        try:
            for line in self._lines.finish() if data is None else self._lines.feed(data):
                self._shown += len(line)
                if line.strip():
                    self._observer.document(parse(line.decode()))
        except (UnicodeDecodeError, MalformedBody, BodyTooLarge) as fault:
            self._shown -= 0 if isinstance(fault, BodyTooLarge) else len(line)
            self._give_up(max(0, self._size - self._shown))

    def _event(self, payload: str) -> None:
        self._speech.event()
        try:
            document = parse(payload)
        except MalformedBody:
            self._observer.text(payload)
        else:
            self._speech.document(document)
            self._observer.document(document)

    def _give_up(self, size: int) -> None:
        self._lost = True
        self._body = bytearray()
        self._observer.unread(size)
