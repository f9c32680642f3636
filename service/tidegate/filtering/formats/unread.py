"""A body that no rule looks into: it passes as it is, and the receipt says so."""

from __future__ import annotations

from tidegate.filtering.formats.coverage import WHOLE, Coverage, Tally
from tidegate.model import Finding


class UnreadBody:
    """One response that passes unread."""

    streaming = True
    progress = WHOLE
    blocked: Finding | None = None

    def __init__(self, format_: str, why: str) -> None:
        self._tally = Tally(format_)
        self._tally.skip(why)
        self._over = False

    def feed(self, data: bytes) -> bytes:
        """`data` itself."""
        if self._over:
            return b""
        self._tally.total_bytes += len(data)
        return data

    def finish(self) -> bytes:
        """Nothing is held."""
        self._over = True
        return b""

    def coverage(self) -> Coverage:
        """The receipt: all was skipped."""
        return self._tally.receipt()

    def abort(self, code: str, message: str) -> bytes:
        """Where an event would begin is not known, so there is no ending."""
        self._over = True
        self._tally.failure = code
        return b""
