"""Content codings (RFC 9110, section 8.4.1) undone piece by piece, so that no input makes more than a piece at once.

gzip (RFC 1952, one member), deflate (RFC 1950, or RFC 1951 as some servers send it) and br (RFC 7932). Whatever follows
the end of the coded data is no part of it: clients disagree about it, so that it is malformed here.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final, Protocol

import brotli

from tidegate.errors import MalformedBody

PIECE: Final = 64 * 1024
"""About how much comes out at once, in bytes."""


class Decoder(Protocol):
    """One coded body."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What the next bytes hold, piece by piece. Raises MalformedBody."""

    def finish(self) -> None:
        """The body is over. Raises MalformedBody when its coded data is not."""


def decoder_of(content_encoding: str) -> Decoder | None:
    """A decoder for the value of Content-Encoding; None for an unknown coding, or several."""
    match content_encoding.strip(" \t").lower():
        case "gzip" | "x-gzip":
            return _Inflating(zlib.MAX_WBITS | 16)
        case "deflate":
            return _Deflate()
        case "br":
            return _Brotli()
    return None


class _Inflating:
    def __init__(self, wbits: int) -> None:
        self._inflate = zlib.decompressobj(wbits)

    def feed(self, data: bytes) -> Iterator[bytes]:
        inflate = self._inflate
        more = bool(data)
        while more:
            if inflate.eof:
                raise MalformedBody("bytes after the end of compressed data")
            try:
                piece = inflate.decompress(data, PIECE)
            except zlib.error as fault:
                raise MalformedBody("not compressed as it says") from fault
            if piece:
                yield piece
            data = inflate.unused_data or inflate.unconsumed_tail
            more = bool(data) or (len(piece) == PIECE and not inflate.eof)

    def finish(self) -> None:
        if not self._inflate.eof:
            raise MalformedBody("compressed data that is not over")


class _Deflate:
    """The first two bytes tell whether the data has the header that it should have (RFC 1950, section 2.2)."""

    def __init__(self) -> None:
        self._head = b""
        self._inflating: _Inflating | None = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._inflating is None:
            self._head += data
            if len(self._head) < 2:
                return
            data, self._head = self._head, b""
            wrapped = data[0] & 0x0F == 8 and int.from_bytes(data[:2], "big") % 31 == 0
            self._inflating = _Inflating(zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS)
        yield from self._inflating.feed(data)

    def finish(self) -> None:
        if self._inflating is None:
            raise MalformedBody("compressed data that is not over")
        self._inflating.finish()


class _Brotli:
    def __init__(self) -> None:
        self._decoder = brotli.Decompressor()

    def feed(self, data: bytes) -> Iterator[bytes]:
        decoder = self._decoder
        more = bool(data)
        while more:
            try:
                piece = decoder.process(data, output_buffer_limit=PIECE)
            except brotli.error as fault:
                raise MalformedBody("not compressed as it says") from fault
            if piece:
                yield piece
            data = b""
            more = bool(piece) or not decoder.can_accept_more_data()

    def finish(self) -> None:
        if not self._decoder.is_finished():
            raise MalformedBody("compressed data that is not over")
