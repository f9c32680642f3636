"""JSON documents, one a line (ndjson-spec 1.0, jsonlines.org), live: Ollama's streams among them.

A line leaves in its place, with the text that may leave by then, as an event of an event stream does. What was held
leaves before the line that ends its text, in a line made for it: readers of Ollama take no text from `"done": true`.
"""

from __future__ import annotations

from collections.abc import Iterable

from tidegate.errors import BodyTooLarge
from tidegate.filtering.formats.json_text import BLANK
from tidegate.filtering.formats.lines import Lines, error_line
from tidegate.filtering.formats.listening import Observer
from tidegate.filtering.formats.live import LiveBody, decode
from tidegate.filtering.formats.reader import Reader
from tidegate.filtering.formats.sse_events import Events
from tidegate.filtering.ruleset import FilterPlan


def _line(others: list[str], document: str | None) -> str:
    return f"{document}\n"


class NdjsonBody(LiveBody[bytes]):
    """One response of lines. A blank one passes, as somebody's heartbeat."""

    def __init__(
        self,
        plan: FilterPlan,
        *,
        key: bytes = b"",
        max_bytes: int,
        max_line: int = 262144,
        observer: Observer | None = None,
    ) -> None:
        super().__init__(Reader("ndjson", plan, key=key))
        self._lines = Lines(min(max_line, max_bytes))
        self._events = Events(self._reader, observer, _line)
        self._max_bytes = max_bytes

    def _units(self, data: bytes | None) -> Iterable[bytes]:
        return self._lines.finish() if data is None else self._lines.feed(data)

    def _unit(self, unit: bytes) -> str:
        line = decode(unit, "a line").removesuffix("\n")
        out = self._events.document(line) if line.strip(BLANK) else f"{line}\n"
        if self._events.held > self._max_bytes and not self._reader.stopped():
            raise BodyTooLarge("more text is held back than allowed")
        return out

    def _end(self) -> bytes:
        return self._events.flush().encode()

    def _ending(self, code: str, message: str) -> bytes:
        """A line with Ollama's `error`."""
        return error_line(code, message).encode()
