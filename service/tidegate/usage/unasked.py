"""What a stream says of its usage because we asked, taken out for a client that did not.

OpenAI's API answers `include_usage` with one more chunk before `[DONE]`, whose `choices` are empty, and with
`"usage": null` in every other chunk; vLLM leaves the latter out, and counts in every chunk where the client asked for
`continuous_usage_stats` alone. Everything else keeps its bytes, however the stream is cut.
"""

from __future__ import annotations

import re
from typing import Final

from tidegate.errors import MalformedBody
from tidegate.filtering.formats.json_text import members, parse, without

_END: Final = rb"(?:\r\n|\n|\r(?!\n))"
_EVENT_END: Final = re.compile(_END + _END)
_LINE_END: Final = re.compile(rb"\n")
_FIELD: Final = re.compile(rb"(?:\r\n|\r|\n|^)data: ?([^\r\n]*)")
_MAX_EVENT: Final = 256 * 1024


class WholeEvents:
    """Bytes of an event stream in, whole events out. An event of more than 256 KiB passes as it comes.

    `inside` tells whether the last bytes that came out were not the end of an event, and `gap` is what then ends it.
    """

    gap = b"\n\n"
    _ends = _EVENT_END
    _reach = 3  # bytes of an end that may still grow

    def __init__(self) -> None:
        self._held = bytearray()
        self._searched = 0
        self.inside = False

    def feed(self, data: bytes) -> bytes:
        """The events that `data` completes."""
        self._held += data
        out = bytearray()
        at = 0
        # A CR at the end may be half of a CRLF.
        stop = len(self._held) - self._held.endswith(b"\r")
        while end := self._ends.search(self._held, max(at, self._searched), stop):
            event = bytes(self._held[at : end.end()])
            out += event if self.inside or len(event) > _MAX_EVENT else self._event(event)
            self.inside = False
            at = self._searched = end.end()
        del self._held[:at]
        self._searched = cut = max(0, len(self._held) - self._reach)
        if len(self._held) > _MAX_EVENT:
            out += self._held[:cut]
            del self._held[:cut]
            self._searched = 0
            self.inside = True
        return bytes(out)

    def finish(self) -> bytes:
        """The stream is over: its last event, when no blank line ended it."""
        rest, self._held = bytes(self._held), bytearray()
        return rest if self.inside or not rest else self._event(rest)

    def _event(self, event: bytes) -> bytes:
        return event


class WholeLines(WholeEvents):
    """The same of documents, one a line."""

    gap = b"\n"
    _ends = _LINE_END
    _reach = 0


class WithoutUsage(WholeEvents):
    """Whole events, without the usage that only we asked for. `continuous` as in `stream_options.Asked`."""

    def __init__(self, *, continuous: bool) -> None:
        super().__init__()
        self._continuous = continuous

    def _event(self, event: bytes) -> bytes:
        if b'"usage"' not in event:
            return event
        lines = list(_FIELD.finditer(event))
        try:
            payload = b"\n".join(line[1] for line in lines).decode()
            document = parse(payload)
        except (UnicodeDecodeError, MalformedBody):
            return event
        if not isinstance(document, dict) or "usage" not in document or not isinstance(document.get("choices"), list):
            return event
        usage = document["usage"]
        if not document["choices"] and isinstance(usage, dict) and "error" not in document:
            return b""
        if len(lines) > 1 or not (usage is None or self._continuous):
            return event
        start, end = lines[0].span(1)
        return event[:start] + _without_usage(payload).encode() + event[end:]


def _without_usage(payload: str) -> str:
    try:
        return without(payload, members(payload, payload.index("{"))["usage"])
    except MalformedBody:
        return payload
