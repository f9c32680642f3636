"""JSON documents, one a line (ndjson-spec 1.0, jsonlines.org), live: Ollama's streams among them.

A line leaves in its place, with the text that may leave by then, as an event of an event stream does. What was held
leaves before the line that ends its text, in a line made for it: readers of Ollama take no text from `"done": true`.
"""

from __future__ import annotations

from collections.abc import Iterable

from tidegate.errors import BodyTooLarge, MalformedBody
from tidegate.filtering.formats.coverage import Coverage
from tidegate.filtering.formats.json_text import BLANK, dump
from tidegate.filtering.formats.lines import Lines
from tidegate.filtering.formats.listening import Observer
from tidegate.filtering.formats.reader import Reader
from tidegate.filtering.formats.sse_events import Events
from tidegate.filtering.ruleset import FilterPlan
from tidegate.model import Finding


def _line(others: list[str], document: str | None) -> str:
    return f"{document}\n"


class NdjsonBody:
    """One response of lines. A blank one passes, as somebody's heartbeat."""

    streaming = True

    def __init__(
        self,
        plan: FilterPlan,
        *,
        key: bytes = b"",
        max_bytes: int,
        max_line: int = 262144,
        observer: Observer | None = None,
    ) -> None:
        self._reader = Reader("ndjson", plan, key=key)
        self._lines = Lines(min(max_line, max_bytes))
        self._events = Events(self._reader, observer, _line)
        self._max_bytes = max_bytes
        self._over = False
        self._fault: MalformedBody | BodyTooLarge | None = None

    @property
    def blocked(self) -> Finding | None:
        """The finding that ended the body, if one did."""
        return self._reader.blocked

    def feed(self, data: bytes) -> bytes:
        """The lines that `data` completes."""
        if self._over:
            return self._raise()
        self._reader.tally.total_bytes += len(data)
        return self._take(self._lines.feed(data))

    def finish(self) -> bytes:
        """The last line, when no line feed ended it, and what is still held."""
        if self._over:
            return self._raise()
        out = self._take(self._lines.finish())
        return out if self._over else out + self._end()

    def coverage(self) -> Coverage:
        """The receipt so far."""
        return self._reader.coverage()

    def abort(self, code: str, message: str) -> bytes:
        """A line with Ollama's `error`. Only whole lines have left before."""
        self._over = True
        self._fault = None
        self._reader.tally.failure = code
        return _line([], dump({"error": message, "code": code})).encode()

    def _end(self) -> bytes:
        self._over = True
        return self._events.flush().encode()

    def _take(self, lines: Iterable[bytes]) -> bytes:
        out: list[str] = []
        try:
            for raw in lines:
                line = raw.decode().removesuffix("\n")
                out.append(self._events.document(line) if line.strip(BLANK) else f"{line}\n")
                if self._reader.stopped():
                    self._over = True
                    break
                if self._events.held > self._max_bytes:
                    raise BodyTooLarge("more text is held back than allowed")
        except UnicodeDecodeError:
            self._fail(MalformedBody("a line that is not UTF-8"), "malformed")
        except MalformedBody as fault:
            self._fail(fault, "malformed")
        except BodyTooLarge as fault:
            self._fail(fault, "too_large")
        text = "".join(out)
        return text.encode() if text else self._raise()

    def _fail(self, fault: MalformedBody | BodyTooLarge, word: str) -> None:
        self._over = True
        self._fault = fault
        self._reader.tally.failure = word

    def _raise(self) -> bytes:
        """Raise what went wrong, once and after all that preceded it; b"" when nothing did."""
        fault, self._fault = self._fault, None
        if fault is not None:
            raise fault
        return b""
