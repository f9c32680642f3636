"""A body that is read and leaves as it came: what rules would find is known before they are enforced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tidegate.errors import BodyTooLarge, DetectorUnavailable, MalformedBody
from tidegate.filtering.formats.body import BodyRewriter
from tidegate.filtering.formats.coverage import WHOLE, Coverage
from tidegate.model import Finding


class ShadowBody:
    """One body under a plan that changes nothing. Every byte leaves when it comes, whatever its reader makes of it.

    What cannot be read is let through as well, and the receipt says so: `failure`, and the rest skipped. The receipt of
    a `coded` body counts the bytes that were inside.
    """

    streaming = True
    progress = WHOLE
    blocked: Finding | None = None

    def __init__(self, body: BodyRewriter, *, coded: bool = False) -> None:
        self._body = body
        self._coded = coded
        self._lost = False
        self._over = False
        self._size = 0
        self._unread = False

    def feed(self, data: bytes) -> bytes:
        """`data` itself."""
        if self._over:
            return b""
        self._size += len(data)
        if not self._lost:
            self._read(lambda: self._body.feed(data))
        return data

    def finish(self) -> bytes:
        """Nothing is held."""
        if not self._over and not self._lost:
            self._read(self._body.finish)
        self._over = True
        return b""

    def coverage(self) -> Coverage:
        """The receipt so far."""
        seen = self._body.coverage()
        if self._unread:  # nothing is claimed that not every detector has read
            seen = replace(seen, scanned_bytes=0, scanned_fields=0, failure="detector_unavailable")
        return seen if self._coded else replace(seen, skipped_bytes=self._size - seen.scanned_bytes)

    def under(self, coding: Callable[[BodyRewriter], BodyRewriter]) -> ShadowBody:
        """The same for a body that comes in a coding, and leaves in it."""
        return ShadowBody(coding(self._body), coded=True)

    def beside(self, wrap: Callable[[BodyRewriter], BodyRewriter]) -> ShadowBody:
        """The same with a reader that reads what this one's would let out."""
        return ShadowBody(wrap(self._body), coded=self._coded)

    def abort(self, code: str, message: str) -> bytes:
        """The format's own ending."""
        self._over = True
        return self._body.abort(code, message)

    def _read(self, step: Callable[[], bytes]) -> None:
        try:
            step()
        except (MalformedBody, BodyTooLarge):
            self._lost = True
        except DetectorUnavailable:
            self._lost = self._unread = True
