"""A loopback HTTP server that plays an issuer's jwks_uri, with faults to order."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any


class KeyServer:
    """Serves `keys` as a JWK set, and `pages` (path → JSON value) at theirs. `requests` counts; `gate`, when cleared,
    holds every answer back. Where there are pages, what is neither one of them nor /jwks is not found.
    """

    def __init__(self) -> None:
        self.keys: list[Any] = []
        self.body: bytes | None = None  # instead of the keys
        self.pages: dict[str, Any] = {}
        self.status = "200 OK"
        self.headers: tuple[str, ...] = ()
        self.requests = 0
        self.seen: list[bytes] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.arrived = asyncio.Event()
        self._server: asyncio.Server | None = None
        self.url = ""

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/jwks"

    async def stop(self) -> None:
        self.gate.set()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head.lower())
            self.seen.append(head + (await reader.readexactly(int(length[1])) if length else b""))
            self.requests += 1
            self.arrived.set()
            await self.gate.wait()
            path = self.seen[-1].split(b" ", 2)[1].decode()
            body = json.dumps(self.pages.get(path, {"keys": self.keys})).encode() if self.body is None else self.body
            found = not self.pages or path in self.pages or path == "/jwks"
            lines = (
                f"HTTP/1.1 {self.status if found else '404 Not Found'}",
                *self.headers,
                f"content-length: {len(body)}",
                "connection: close",
            )
            writer.write("\r\n".join((*lines, "", "")).encode() + body)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client gave up, as some tests want it to
        finally:
            writer.close()
