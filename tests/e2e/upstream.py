"""A model that misbehaves on request: a raw HTTP/1.1 server whose every answer is a script of a test.

A test registers an `Answer` and sends the returned name in the `x-script` header. Bytes go out exactly as scripted, so
that framing, trailers, resets and half events can be wrong in any way. A `Hold` stops an answer until the test opens
it: no test has to sleep to know what happened before what.
"""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any


class Hold:
    """Closed until a test opens it. The server waits on it for at most 60 s."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open = False
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def open(self) -> None:
        with self._lock:
            self._open = True
            for loop, event in self._waiting:
                loop.call_soon_threadsafe(event.set)

    def reached(self) -> bool:
        """Whether an answer stands before it, or passed it."""
        return bool(self._waiting)

    async def passed(self) -> None:
        event = asyncio.Event()
        with self._lock:
            self._waiting.append((asyncio.get_running_loop(), event))
            if self._open:
                event.set()
        await asyncio.wait_for(event.wait(), 60)


class Reset:
    """Close the connection now, with a TCP reset."""


Step = bytes | Hold | Reset


@dataclass(frozen=True)
class Answer:
    """Status line and headers as given, then the steps. `raw` means that the steps are all that is sent."""

    steps: Sequence[Step] = ()
    status: int = 200
    headers: Sequence[tuple[str, str]] = ()
    raw: bool = False
    close: bool = False


def json_answer(document: Any, *, status: int = 200, headers: Sequence[tuple[str, str]] = ()) -> Answer:
    """A JSON document under content-length."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    fields = [("content-type", "application/json"), ("content-length", str(len(body)))]
    given = {name for name, _ in headers}
    return Answer([body] if body else [], status, [*(f for f in fields if f[0] not in given), *headers])


def gzip_answer(document: Any) -> Answer:
    """A compressed JSON document, asked for or not."""
    return json_answer(gzip.compress(json.dumps(document).encode()), headers=[("content-encoding", "gzip")])


def chunked(
    parts: Iterable[Step],
    *,
    content_type: str = "text/event-stream",
    status: int = 200,
    headers: Sequence[tuple[str, str]] = (),
    trailers: Sequence[tuple[str, str]] = (),
    end: bool = True,
) -> Answer:
    """Each `bytes` part is one HTTP chunk. Without `end` the last chunk never comes."""
    steps: list[Step] = [
        f"{len(part):x}\r\n".encode() + part + b"\r\n" if isinstance(part, bytes) else part for part in parts
    ]
    if end:
        steps.append(b"0\r\n" + b"".join(f"{name}: {value}\r\n".encode() for name, value in trailers) + b"\r\n")
    framing = [("content-type", content_type), ("transfer-encoding", "chunked")]
    if trailers:
        framing.append(("trailer", ", ".join(name for name, _ in trailers)))
    return Answer(steps, status, [*framing, *headers])


def event(document: Any) -> bytes:
    """One SSE event."""
    data = document if isinstance(document, str) else json.dumps(document)
    return f"data: {data}\n\n".encode()


def delta(text: str, **more: Any) -> bytes:
    """One OpenAI chat delta as an SSE event."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return event(
        {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "small", "choices": [choice], **more}
    )


def finish() -> Sequence[bytes]:
    """The end of an OpenAI stream."""
    choice = {"index": 0, "delta": {}, "finish_reason": "stop"}
    document = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "small", "choices": [choice]}
    return event(document), event("[DONE]")


def chat(text: str) -> dict[str, Any]:
    """A whole OpenAI chat completion."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"id": "c", "object": "chat.completion", "created": 1, "model": "small", "choices": [choice]}


@dataclass(frozen=True)
class Seen:
    """A request as it reached the model."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name]

    @property
    def names(self) -> set[str]:
        return {key.lower() for key, _ in self.headers}


@dataclass
class _Script:
    answer: Answer
    seen: list[Seen] = field(default_factory=list)
    lost: threading.Event = field(default_factory=threading.Event)


class Upstream:
    """The server, on a thread and loop of its own so that it outlives the loop of a test."""

    def __init__(self) -> None:
        self._scripts: dict[str, _Script] = {}
        self._names = (f"s{index}" for index in itertools.count())
        self._all: list[Seen] = []
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="upstream", daemon=True)
        self._thread.start()
        self._ready.wait(10)

    def script(self, answer: Answer) -> str:
        """Register an answer; send the name in `x-script`."""
        name = next(self._names)
        self._scripts[name] = _Script(answer)
        return name

    def seen(self, name: str) -> list[Seen]:
        """The requests that reached the model for this script."""
        return self._scripts[name].seen

    def lost(self, name: str) -> bool:
        """Whether a connection went away while this script was answering."""
        return self._scripts[name].lost.is_set()

    @property
    def requests(self) -> list[Seen]:
        """Every request that reached the model, oldest first."""
        return self._all

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        tasks: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.ensure_future(self._connection(reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        server = await asyncio.start_server(accept, "127.0.0.1", 0, limit=1 << 20, backlog=4096)
        self.port: int = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await _read(reader)) is not None:
                self._all.append(request)
                named = request.values("x-script")
                script = self._scripts.get(named[0]) if named else None
                if script is None:
                    script = _Script(json_answer({"ok": True}))
                script.seen.append(request)
                if not await _answer(script, request, reader, writer):
                    return
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


async def _read(reader: asyncio.StreamReader) -> Seen | None:
    head = await reader.readuntil(b"\r\n\r\n") if not reader.at_eof() else b""
    if not head:
        return None
    line, *fields = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    method, target, _ = line.split(" ")
    headers = tuple((name, value.strip()) for name, _, value in (field.partition(":") for field in fields))
    known = {name.lower(): value for name, value in headers}
    if known.get("transfer-encoding") == "chunked":
        body = b""
        while size := int((await reader.readline()).strip() or b"0", 16):
            body += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
    else:
        body = await reader.readexactly(int(known.get("content-length", "0")))
    return Seen(method, target, headers, body)


async def _answer(script: _Script, request: Seen, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Play the script; whether the connection can take another request."""
    answer = script.answer
    if not answer.raw:
        fields = "".join(f"{name}: {value}\r\n" for name, value in answer.headers)
        writer.write(f"HTTP/1.1 {answer.status} Scripted\r\n{fields}\r\n".encode())
    steps = () if request.method == "HEAD" else answer.steps
    try:
        for step in steps:
            if isinstance(step, Hold):
                await _hold(step, reader)
            elif isinstance(step, Reset):
                writer.transport.abort()
                return False
            else:
                writer.write(step)
                await writer.drain()
        await writer.drain()
    except ConnectionError:
        script.lost.set()
        return False
    return not answer.close


async def _hold(hold: Hold, reader: asyncio.StreamReader) -> None:
    """Wait until the test goes on, but notice when the other side hangs up."""
    passing, ended = asyncio.ensure_future(hold.passed()), asyncio.ensure_future(reader.read(1))
    done, pending = await asyncio.wait((passing, ended), return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    if ended in done:
        raise ConnectionResetError
    await passing
