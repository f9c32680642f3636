"""An event stream, live: every event leaves in its place, with the text that may leave by then.

An event whose text is held back leaves with that text empty, so that the stream keeps its beat. What was held leaves
before the event that ends its channel: in that event's own field when it has one, else in an event made for it.
"""

from __future__ import annotations

from collections.abc import Iterable

from tidegate.errors import BodyTooLarge, MalformedBody
from tidegate.filtering.formats.coverage import Coverage
from tidegate.filtering.formats.listening import Observer
from tidegate.filtering.formats.reader import Reader
from tidegate.filtering.formats.sse_events import Events
from tidegate.filtering.formats.sse_frames import Frames, join, split
from tidegate.filtering.ruleset import FilterPlan
from tidegate.model import Finding


class SseBody:
    """One event stream. With `tail` it ends with its receipt in a comment."""

    streaming = True

    def __init__(
        self,
        plan: FilterPlan,
        *,
        key: bytes = b"",
        max_bytes: int,
        max_event: int = 262144,
        tail: bool = False,
        observer: Observer | None = None,
    ) -> None:
        self._reader = Reader("sse", plan, key=key)
        self._frames = Frames(min(max_event, max_bytes))
        self._events = Events(self._reader, observer)
        self._max_bytes = max_bytes
        self._tail = tail
        self._over = False
        self._fault: MalformedBody | BodyTooLarge | None = None

    @property
    def blocked(self) -> Finding | None:
        """The finding that ended the stream, if one did."""
        return self._reader.blocked

    def feed(self, data: bytes) -> bytes:
        """The events that `data` completes."""
        if self._over:
            return self._raise()
        self._reader.tally.total_bytes += len(data)
        return self._take(self._frames.feed(data))

    def finish(self) -> bytes:
        """The last event, when no blank line ended it, and what is still held."""
        if self._over:
            return self._raise()
        out = self._take(self._frames.finish())
        return out if self._over else out + self._end()

    def coverage(self) -> Coverage:
        """The receipt so far."""
        return self._reader.coverage()

    def abort(self, code: str, message: str) -> bytes:
        """An error event in the stream's dialect and the end of the stream. Only whole events have left before."""
        self._over = True
        self._fault = None
        self._reader.tally.failure = code
        return self._events.speech.error(code, message)

    def _end(self) -> bytes:
        self._over = True
        out = self._events.flush()
        if self._tail and not self._reader.stopped():
            out += join([f": tidegate {self.coverage().header()}"], None)
        return out.encode()

    def _take(self, frames: Iterable[list[str]]) -> bytes:
        out: list[str] = []
        try:
            for frame in frames:
                out.append(self._events.event(*split(frame)) if frame else "\n")
                if self._reader.stopped():
                    self._over = True
                    break
                if self._events.held > self._max_bytes:
                    raise BodyTooLarge("more text is held back than allowed")
        except (MalformedBody, BodyTooLarge) as fault:
            self._over = True
            self._fault = fault
            self._reader.tally.failure = "malformed" if isinstance(fault, MalformedBody) else "too_large"
        text = "".join(out)
        return text.encode() if text else self._raise()

    def _raise(self) -> bytes:
        """Raise what went wrong, once and after all that preceded it; b"" when nothing did."""
        fault, self._fault = self._fault, None
        if fault is not None:
            raise fault
        return b""
