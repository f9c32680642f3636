"""A client's connection to Envoy: HTTP/1.1 over asyncio's streams, and every way in which an exchange may end.

A client library would be the bottleneck of 500 streams in one process, and hides how an answer ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Literal, NamedTuple

End = Literal["whole", "truncated", "reset", "timed out", "left"]
"""`reset` is an end before the status line, `truncated` one after it, `left` the client's own."""
_LONGEST = 1 << 20


class Response(NamedTuple):
    """What came back. `status` is 0 when nothing did; names of `headers` are lower-cased, the last of a name counts."""

    status: int
    headers: dict[str, str]
    body: bytes
    end: End


class Connection:
    """One connection at a time to a loopback port, opened when it is needed and again when it was lost."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def exchange(
        self, request: bytes, *, patience: float, begun: Callable[[], None] = lambda: None, leave_after: int = 0
    ) -> Response:
        """Send a request and read its answer; never raises for what the other side does.

        `patience` is seconds for each wait, `begun` is called once with the status line, and the client leaves after
        `leave_after` bytes of the body, 0 for never.
        """
        status, headers, body = 0, dict[str, str](), bytearray()
        end: End = "whole"
        try:
            reader, writer = await self._opened(patience)
            writer.write(request)
            async with asyncio.timeout(patience):
                await writer.drain()
                status, headers = _head(await reader.readuntil(b"\r\n\r\n"))
            begun()
            async for part in _parts(reader, headers, patience):
                body += part
                if leave_after and len(body) >= leave_after:
                    end = "left"
                    break
        except TimeoutError:
            end = "timed out"
        except (OSError, asyncio.IncompleteReadError):
            end = "truncated" if status else "reset"
        if end != "whole" or headers.get("connection") == "close":
            await self.close()
        return Response(status, headers, bytes(body), end)

    async def close(self) -> None:
        """Hang up."""
        writer, self._reader, self._writer = self._writer, None, None
        if writer is not None:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _opened(self, patience: float) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._reader is not None and self._reader.at_eof():
            await self.close()
        if self._reader is None or self._writer is None:
            async with asyncio.timeout(patience):
                self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=_LONGEST)
        return self._reader, self._writer


def _head(head: bytes) -> tuple[int, dict[str, str]]:
    line, *fields = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    pairs = (field.partition(":") for field in fields)
    return int(line.split(" ")[1]), {name.lower(): value.strip() for name, _, value in pairs}


async def _parts(reader: asyncio.StreamReader, headers: dict[str, str], patience: float) -> AsyncIterator[bytes]:
    """A body as it comes, to the last byte that came. Raises IncompleteReadError when it breaks off."""
    if headers.get("transfer-encoding") != "chunked":
        async for part in _exactly(reader, int(headers.get("content-length", "0")), patience):
            yield part
        return
    size = -1
    while size:
        async with asyncio.timeout(patience):
            size = int(await reader.readuntil(b"\r\n"), 16)
        async for part in _exactly(reader, size, patience):
            yield part
        async with asyncio.timeout(patience):
            await reader.readexactly(2)


async def _exactly(reader: asyncio.StreamReader, size: int, patience: float) -> AsyncIterator[bytes]:
    while size:
        async with asyncio.timeout(patience):
            part = await reader.read(min(size, _LONGEST))
        if not part:
            raise asyncio.IncompleteReadError(b"", size)
        size -= len(part)
        yield part
