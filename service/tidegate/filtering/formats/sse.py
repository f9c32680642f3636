"""An event stream, live: every event leaves in its place, with the text that may leave by then.

An event whose text is held back leaves with that text empty, so that the stream keeps its beat. What was held leaves
before the event that ends its channel: in that event's own field when it has one, else in an event made for it.
"""

from __future__ import annotations

from collections.abc import Iterable

from tidegate.errors import BodyTooLarge
from tidegate.filtering.formats.listening import Observer
from tidegate.filtering.formats.live import LiveBody
from tidegate.filtering.formats.reader import Reader
from tidegate.filtering.formats.sse_events import Events
from tidegate.filtering.formats.sse_frames import Frames, join, split
from tidegate.filtering.ruleset import FilterPlan


class SseBody(LiveBody[list[str]]):
    """One event stream. With `tail` it ends with its receipt in a comment."""

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
        super().__init__(Reader("sse", plan, key=key))
        self._frames = Frames(min(max_event, max_bytes))
        self._events = Events(self._reader, observer)
        self._max_bytes = max_bytes
        self._tail = tail

    def _units(self, data: bytes | None) -> Iterable[list[str]]:
        return self._frames.finish() if data is None else self._frames.feed(data)

    def _unit(self, unit: list[str]) -> str:
        out = self._events.event(*split(unit)) if unit else "\n"
        if self._events.held > self._max_bytes and not self._reader.stopped():
            raise BodyTooLarge("more text is held back than allowed")
        return out

    def _end(self) -> bytes:
        out = self._events.flush()
        if self._tail and not self._reader.stopped():
            out += join([f": tidegate {self.coverage().header()}"], None)
        return out.encode()

    def _ending(self, code: str, message: str) -> bytes:
        return self._events.speech.error(code, message)
