"""Requests as bytes: what no client library would send. HTTP/1 as it is written, HTTP/2 frame by frame (RFC 9113)."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

from hpack import Decoder, Encoder
from hyperframe.frame import DataFrame, Frame, GoAwayFrame, HeadersFrame, RstStreamFrame, SettingsFrame

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def raw(port: int, request: bytes) -> bytes:
    """Send bytes as they are; what comes back until the other side closes."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection, suppress(ConnectionError):
        connection.sendall(request)
        while part := connection.recv(65536):
            received += part
    return received


def statuses(answer: bytes) -> list[int]:
    """The status of each HTTP/1 response in what came back, in order. Bodies must not hold status lines."""
    lines = answer.split(b"\r\n")
    return [int(line.split(b" ")[1]) for line in lines if line.startswith((b"HTTP/1.1 ", b"HTTP/1.0 "))]


def http2(
    port: int,
    fields: Sequence[tuple[str, str]],
    body: bytes = b"",
    trailers: Iterable[tuple[str, str]] = (),
    *,
    before_last: Callable[[], object] | None = None,
) -> int:
    """The status of one request on a connection of its own; 0 when its stream, or all of it, was ended instead.

    `before_last` is called when all but the last frame is sent; without it all of them arrive together.
    """
    encoder = Encoder()
    sections = [encoder.encode(_octets(fields), huffman=False)]
    if trailers:
        sections.append(encoder.encode(_octets(trailers), huffman=False))
    frames: list[Frame] = [SettingsFrame(0), HeadersFrame(1, sections[0], flags=["END_HEADERS"])]
    if body:
        frames.append(DataFrame(1, body))
    if trailers:
        frames.append(HeadersFrame(1, sections[1], flags=["END_HEADERS"]))
    frames[-1].flags.add("END_STREAM")
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection, suppress(ConnectionError):
        first, last = b"".join(frame.serialize() for frame in frames[:-1]), frames[-1].serialize()
        if before_last is not None:
            connection.sendall(_PREFACE + first)
            before_last()
            connection.sendall(last)
        else:
            connection.sendall(_PREFACE + first + last)
        return _status(connection)
    return 0


def _octets(fields: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields]


def _status(connection: socket.socket) -> int:
    """Read until stream 1 is over, so that nothing of it is still on its way to the model."""
    decoder, pending, status = Decoder(), b"", 0
    while True:
        frame, pending = _next(connection, pending)
        if frame is None or isinstance(frame, GoAwayFrame):
            return status
        if frame.stream_id != 1:
            continue
        if isinstance(frame, HeadersFrame):
            decoded: dict[Any, Any] = dict(decoder.decode(frame.data))
            status = status or int(decoded.get(":status", 0))
        if isinstance(frame, RstStreamFrame) or "END_STREAM" in frame.flags:
            return status


def _next(connection: socket.socket, pending: bytes) -> tuple[Frame | None, bytes]:
    while True:
        if len(pending) >= 9:
            frame, length = Frame.parse_frame_header(memoryview(pending[:9]))
            if len(pending) >= 9 + length:
                frame.parse_body(memoryview(pending[9 : 9 + length]))
                return frame, pending[9 + length :]
        part = connection.recv(65536)
        if not part:
            return None, b""
        pending += part
