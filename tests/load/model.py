"""The model of a load test: says what the request's number stands for, plants values in it, and counts what it did.

`python -m tests.load.model PORT` serves until it is ended; `GET /counts` tells the counts as JSON (`Counts`), and
`GET /reset` resets the connection of every answer that is being written.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import NamedTuple

import uvloop

from tests.load.answers import answer
from tests.load.kinds import HEADER, KINDS, TENANT_HEADER, Ending

_CREDENTIALS = frozenset({"authorization", "x-api-key", "cookie"})
_LONGEST = 1 << 20


class Counts(NamedTuple):
    """By kind: requests that came, answers written to their end, bytes of bodies; of whole ones tokens, planted values.

    `open` answers are being written now. `credentials` is how many requests still had one, `strangers` how many came
    under another tenant than their kind's, `unknown` how many were none of a load's.
    """

    requests: Mapping[str, int]
    answered: Mapping[str, int]
    served: Mapping[str, int]
    tokens: Mapping[str, int]
    planted: Mapping[str, int]
    open: int
    credentials: int
    strangers: int
    unknown: int


class Model:
    """The server's state; one for each process."""

    def __init__(self) -> None:
        self._requests: Counter[str] = Counter()
        self._answered: Counter[str] = Counter()
        self._served: Counter[str] = Counter()
        self._tokens: Counter[str] = Counter()
        self._planted: Counter[str] = Counter()
        self._wrong: Counter[str] = Counter()
        self._open = 0
        self._writing: set[asyncio.StreamWriter] = set()

    @property
    def counts(self) -> Counts:
        """The counts so far."""
        counters = (self._requests, self._answered, self._served, self._tokens, self._planted)
        by_kind = (dict(each) for each in counters)
        return Counts(*by_kind, self._open, *(self._wrong[name] for name in Counts._fields[-3:]))

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection until it ends."""
        try:
            while True:
                line, fields = _head(await reader.readuntil(b"\r\n\r\n"))
                body = await _body(reader, fields)
                if line.startswith("GET /counts "):
                    _send(writer, 200, json.dumps(self.counts._asdict()).encode())
                elif line.startswith("GET /reset "):
                    _send(writer, 200, json.dumps({"reset": self._reset()}).encode())
                elif HEADER not in fields:
                    self._wrong["unknown"] += 1
                    _send(writer, 404, b'{"error": "no request of a load"}')
                elif not await self._answer(fields, body, reader, writer):
                    return
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _answer(
        self, fields: Mapping[str, str], body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Write one answer; whether the connection can take another request."""
        name, seed, pieces, gap = fields[HEADER].split()
        kind = KINDS[name]
        self._requests[name] += 1
        self._wrong["credentials"] += not _CREDENTIALS.isdisjoint(fields)
        self._wrong["strangers"] += fields.get(TENANT_HEADER) != kind.tenant
        asked = json.loads(body).get("stream_options") or {}
        told = answer(kind.dialect, int(seed), int(pieces), usage=asked.get("include_usage", False))
        self._open += 1
        self._writing.add(writer)
        try:
            if kind.dialect == "chat":
                whole = b"".join(told.writes)
                writer.write(_fields(200, told.content_type, [f"content-length: {len(whole)}"]) + whole)
                self._served[name] += len(whole)
                await writer.drain()
            else:
                writer.write(_fields(200, told.content_type, ["transfer-encoding: chunked"]))
                if not await self._stream(name, told.writes, float(gap), kind.ending, reader, writer):
                    return False
            self._answered[name] += 1
            self._tokens[name] += told.prompt_tokens + told.completion_tokens
            self._planted[name] += told.planted
            return True
        finally:
            self._open -= 1
            self._writing.discard(writer)

    def _reset(self) -> int:
        """Break off all that is being written; how many those are."""
        for writer in self._writing:
            writer.transport.abort()
        return len(self._writing)

    async def _stream(
        self,
        name: str,
        writes: tuple[bytes, ...],
        gap: float,
        ending: Ending,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        """Write events until the last, the other side leaves, or this one does."""
        for place, part in enumerate(writes):
            if reader.at_eof() or writer.is_closing():
                return False
            if ending == "model resets" and place > len(writes) // 2:
                writer.transport.abort()
                return False
            writer.write(b"%x\r\n%b\r\n" % (len(part), part))
            self._served[name] += len(part)
            await writer.drain()
            await asyncio.sleep(gap)
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True


async def serve(model: Model, port: int = 0) -> asyncio.Server:
    """A running server on a loopback port, 0 for any."""
    return await asyncio.start_server(model.connection, "127.0.0.1", port, limit=_LONGEST, backlog=4096)


def _head(head: bytes) -> tuple[str, dict[str, str]]:
    line, *fields = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    pairs = (field.partition(":") for field in fields)
    return line, {name.lower(): value.strip() for name, _, value in pairs}


async def _body(reader: asyncio.StreamReader, fields: Mapping[str, str]) -> bytes:
    if fields.get("transfer-encoding") != "chunked":
        return await reader.readexactly(int(fields.get("content-length", "0")))
    parts = []
    while size := int(await reader.readuntil(b"\r\n"), 16):
        parts.append((await reader.readexactly(size + 2))[:-2])
    await reader.readuntil(b"\r\n")
    return b"".join(parts)


def _fields(status: int, content_type: str, more: Iterable[str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Told", f"content-type: {content_type}", *more]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode()


def _send(writer: asyncio.StreamWriter, status: int, document: bytes) -> None:
    writer.write(_fields(status, "application/json", [f"content-length: {len(document)}"]) + document)


async def _main(port: int) -> None:
    async with await serve(Model(), port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_main(int(sys.argv[1])))
