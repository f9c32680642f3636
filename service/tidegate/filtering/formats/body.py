"""What every body is to those who feed it, whatever its format."""

from __future__ import annotations

from typing import Protocol

from tidegate.filtering.formats.coverage import Coverage, Progress
from tidegate.model import Finding


class BodyRewriter(Protocol):
    """One response body. `streaming` is False when nothing comes out before `finish`.

    After a BLOCK finding `blocked` is set and everything that follows is b"". A failure is raised once what preceded it
    has been handed out: at once when there is nothing, else by the next call.
    """

    streaming: bool

    @property
    def blocked(self) -> Finding | None:
        """The finding that ended the body, if one did."""

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes, cut anywhere; what may leave now.

        Raises MalformedBody, BodyTooLarge, DetectorUnavailable.
        """

    def finish(self) -> bytes:
        """The body is over; what was held back. Raises as `feed` does."""

    @property
    def progress(self) -> Progress:
        """How far the texts have come that come in pieces."""

    def coverage(self) -> Coverage:
        """The receipt so far."""

    def abort(self, code: str, message: str) -> bytes:
        """The format's own ending for a body that is cut off, b"" where it has none. Nothing follows it."""
