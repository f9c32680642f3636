"""Plain text, live."""

from __future__ import annotations

from codecs import getincrementaldecoder

from tidegate.errors import BodyTooLarge, MalformedBody
from tidegate.filtering.formats.coverage import Coverage, Progress
from tidegate.filtering.formats.listening import Observer
from tidegate.filtering.formats.reader import Reader
from tidegate.filtering.ruleset import FilterPlan
from tidegate.model import Finding

_Decoder = getincrementaldecoder("utf-8")


class TextBody:
    """One response of text in UTF-8. It has no ending of its own: a body that is cut off just stops."""

    streaming = True

    def __init__(self, plan: FilterPlan, *, key: bytes = b"", max_bytes: int, observer: Observer | None = None) -> None:
        self._reader = Reader("text", plan, key=key)
        self._run = self._reader.plain()
        self._max_bytes = max_bytes
        self._observer = observer
        self._decoder = _Decoder()
        self._over = False
        self._fault: MalformedBody | BodyTooLarge | None = None

    @property
    def blocked(self) -> Finding | None:
        """The finding that ended the body, if one did."""
        return self._reader.blocked

    def feed(self, data: bytes) -> bytes:
        """What may leave after `data`."""
        return self._take(data, last=False)

    def finish(self) -> bytes:
        """The rest."""
        out = self._take(b"", last=True)
        return out if self._over else out + self._end()

    @property
    def progress(self) -> Progress:
        """How far its texts have come."""
        return self._reader.progress

    def coverage(self) -> Coverage:
        """The receipt so far."""
        return self._reader.coverage()

    def abort(self, code: str, message: str) -> bytes:
        """Text has no way to say that it was cut off."""
        self._over = True
        self._fault = None
        self._reader.tally.failure = code
        return b""

    def _take(self, data: bytes, *, last: bool) -> bytes:
        if self._over:
            return self._raise()
        tally = self._reader.tally
        tally.total_bytes += len(data)
        pending = len(self._decoder.getstate()[0])
        try:
            text = self._decoder.decode(data, last)
            read = len(data)
        except UnicodeDecodeError as fault:
            text = fault.object[: fault.start].decode()
            read = fault.start - pending
            self._fail(MalformedBody("text that is not UTF-8"), "malformed")
        tally.scanned_bytes += read
        if self._observer is not None:
            self._observer.text(text)
        out = self._run.feed(text)
        if self._reader.stopped():
            self._over = True
        elif self._run.held > self._max_bytes:
            self._fail(BodyTooLarge("more text is held back than allowed"), "too_large")
        return out.encode() if out else self._raise()

    def _end(self) -> bytes:
        self._over = True
        self._reader.tally.scanned_fields = 1
        return self._run.finish().encode()

    def _fail(self, fault: MalformedBody | BodyTooLarge, word: str) -> None:
        self._fault = fault
        self._over = True
        self._reader.tally.failure = word

    def _raise(self) -> bytes:
        """Raise what went wrong, once and after all that preceded it; b"" when nothing did."""
        fault, self._fault = self._fault, None
        if fault is not None:
            raise fault
        return b""
