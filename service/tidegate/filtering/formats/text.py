"""Plain text, live."""

from __future__ import annotations

from codecs import getincrementaldecoder
from collections.abc import Iterator

from tidegate.errors import BodyTooLarge, MalformedBody
from tidegate.filtering.formats.coverage import size
from tidegate.filtering.formats.listening import Observer
from tidegate.filtering.formats.live import LiveBody
from tidegate.filtering.formats.reader import Reader
from tidegate.filtering.ruleset import FilterPlan

_Decoder = getincrementaldecoder("utf-8")


class TextBody(LiveBody[str]):
    """One response of text in UTF-8. It has no ending of its own: a body that is cut off just stops."""

    def __init__(self, plan: FilterPlan, *, key: bytes = b"", max_bytes: int, observer: Observer | None = None) -> None:
        super().__init__(Reader("text", plan, key=key))
        self._run = self._reader.plain()
        self._max_bytes = max_bytes
        self._observer = observer
        self._decoder = _Decoder()

    def _units(self, data: bytes | None) -> Iterator[str]:
        try:
            text = self._decoder.decode(data or b"", data is None)
        except UnicodeDecodeError as fault:
            yield fault.object[: fault.start].decode()
            raise MalformedBody("text that is not UTF-8") from None
        yield text
        if self._run.held > self._max_bytes:
            raise BodyTooLarge("more text is held back than allowed")

    def _unit(self, unit: str) -> str:
        if self._observer is not None:
            self._observer.text(unit)
        out = self._run.feed(unit)
        if not self._reader.stopped():
            self._reader.tally.scanned_bytes += size(unit)
        return out

    def _end(self) -> bytes:
        self._reader.tally.scanned_fields = 1
        return self._run.finish().encode()
