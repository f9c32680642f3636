"""What bodies have in common that leave unit by unit: by events, lines, rows or pieces of text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Generic, TypeVar

from tidegate.errors import BodyTooLarge, MalformedBody
from tidegate.filtering.formats.coverage import Coverage, Progress
from tidegate.filtering.formats.reader import Reader
from tidegate.model import Finding

Unit = TypeVar("Unit")


class LiveBody(ABC, Generic[Unit]):
    """One response. A failure is raised once what preceded it has been handed out."""

    streaming = True

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._over = False
        self._fault: MalformedBody | BodyTooLarge | None = None

    @property
    def blocked(self) -> Finding | None:
        """The finding that ended the body, if one did."""
        return self._reader.blocked

    def feed(self, data: bytes) -> bytes:
        """What leaves of the units that `data` completes."""
        if self._over:
            return self._raise()
        self._reader.tally.total_bytes += len(data)
        return self._take(self._units(data))

    def finish(self) -> bytes:
        """The last unit, when nothing ended it, and what is still held."""
        if self._over:
            return self._raise()
        out = self._take(self._units(None))
        return out if self._over else out + self._close()

    @property
    def progress(self) -> Progress:
        """How far its texts have come."""
        return self._reader.progress

    def coverage(self) -> Coverage:
        """The receipt so far."""
        return self._reader.coverage()

    def abort(self, code: str, message: str) -> bytes:
        """The format's own ending for a body that is cut off. Only whole units have left before."""
        self._over = True
        self._fault = None
        self._reader.tally.failure = code
        return self._ending(code, message)

    @abstractmethod
    def _units(self, data: bytes | None) -> Iterable[Unit]:
        """The units that `data` completes; None when the body is over."""

    @abstractmethod
    def _unit(self, unit: Unit) -> str:
        """What leaves for one. Raises MalformedBody, BodyTooLarge."""

    def _end(self) -> bytes:
        return b""

    def _ending(self, code: str, message: str) -> bytes:
        return b""

    def _close(self) -> bytes:
        self._over = True
        return self._end()

    def _take(self, units: Iterable[Unit]) -> bytes:
        out: list[str] = []
        try:
            for unit in units:
                out.append(self._unit(unit))
                if self._reader.stopped():
                    self._over = True
                    break
        except (MalformedBody, BodyTooLarge) as fault:
            self._over = True
            self._fault = fault
            self._reader.tally.failure = "malformed" if isinstance(fault, MalformedBody) else "too_large"
        text = "".join(out)
        return text.encode() if text else self._raise()

    def _raise(self) -> bytes:
        """Raise what went wrong, once; b"" when nothing did."""
        fault, self._fault = self._fault, None
        if fault is not None:
            raise fault
        return b""


def decode(raw: bytes, what: str) -> str:
    """The text of a unit. Raises MalformedBody."""
    try:
        return raw.decode()
    except UnicodeDecodeError as fault:
        raise MalformedBody(f"{what} that is not UTF-8") from fault
