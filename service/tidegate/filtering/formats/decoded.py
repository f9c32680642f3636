"""A body that came compressed: it is read as what it holds, and leaves uncompressed."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from tidegate.errors import BodyTooLarge, MalformedBody
from tidegate.filtering.formats.body import BodyRewriter
from tidegate.filtering.formats.coding import Decoder, decoder_of
from tidegate.filtering.formats.coverage import Coverage, Progress
from tidegate.filtering.formats.shadow import ShadowBody
from tidegate.model import Finding

MAX_RATIO: Final = 400
"""Bytes that one compressed byte may hold: an event stream that is compressed whole comes to 65 (gzip) or 280 (br)."""
ALLOWANCE: Final = 1 << 20
"""Bytes that a body may hold whatever its ratio."""


class DecodedBody:
    """A body rewriter before which a coding is undone. The receipt counts the bytes that were inside."""

    def __init__(self, body: BodyRewriter, decoder: Decoder) -> None:
        self.streaming = body.streaming
        self._body = body
        self._decoder = decoder
        self._came = 0
        self._held = 0
        self._failure = ""
        self._over = False
        self._fault: MalformedBody | BodyTooLarge | None = None

    @property
    def blocked(self) -> Finding | None:
        """The finding that ended the body, if one did."""
        return self._body.blocked

    def feed(self, data: bytes) -> bytes:
        """Take the next compressed bytes, cut anywhere; what may leave now, uncompressed."""
        if self._over:
            return self._raise()
        self._came += len(data)
        out: list[bytes] = []
        try:
            for piece in self._decoder.feed(data):
                self._held += len(piece)
                if self._held > ALLOWANCE + MAX_RATIO * self._came:
                    raise BodyTooLarge(f"more than {MAX_RATIO} bytes in each compressed one")
                out.append(self._body.feed(piece))
                if self._body.blocked is not None:
                    self._over = True
                    break
        except (MalformedBody, BodyTooLarge) as fault:
            self._fail(fault)
        return b"".join(out) or self._raise()

    def finish(self) -> bytes:
        """The body is over; what was held back."""
        if self._over:
            return self._raise()
        self._over = True
        try:
            self._decoder.finish()
        except MalformedBody as fault:
            self._fail(fault)
            return self._raise()
        return self._body.finish()

    @property
    def progress(self) -> Progress:
        """How far its texts have come."""
        return self._body.progress

    def coverage(self) -> Coverage:
        """The receipt so far."""
        receipt = self._body.coverage()
        return replace(receipt, failure=receipt.failure or self._failure)

    def abort(self, code: str, message: str) -> bytes:
        """The format's own ending."""
        self._over = True
        self._fault = None
        return self._body.abort(code, message)

    def _fail(self, fault: MalformedBody | BodyTooLarge) -> None:
        self._over = True
        self._fault = fault
        self._failure = "malformed" if isinstance(fault, MalformedBody) else "too_large"

    def _raise(self) -> bytes:
        """Raise what went wrong, once and after all that preceded it; b"" when nothing did."""
        fault, self._fault = self._fault, None
        if fault is not None:
            raise fault
        return b""


def decodes(content_encoding: str) -> bool:
    """Whether that Content-Encoding can be undone."""
    return decoder_of(content_encoding) is not None


def decoded(body: BodyRewriter, content_encoding: str) -> BodyRewriter:
    """`body`, given what comes under that Content-Encoding. Raises ValueError for one that cannot be undone.

    A body in shadow leaves as it came, compressed.
    """
    decoder = decoder_of(content_encoding)
    if decoder is None:
        raise ValueError(f"no decoder for {content_encoding!r}")
    if isinstance(body, ShadowBody):
        return body.under(lambda inner: DecodedBody(inner, decoder))
    return DecodedBody(body, decoder)
