"""A policy in front of an ASGI application (FastAPI): decided before it runs, its responses rewritten as they come."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from contextlib import AsyncExitStack, suppress
from typing import Any, Final

from tidegate_client import adapting, messages
from tidegate_client.engine import PolicyEngine
from tidegate_client.errors import TidegateError, TidegateUnavailable
from tidegate_client.exchange import AsyncExchange, Release
from tidegate_client.keep_alive import KeepingAlive
from tidegate_client.results import Allowed, Denied
from tidegate_client.web import RequestArguments, from_asgi

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
_START: Final[Message] = {"type": "http.response.start"}
_GONE: Final[Message] = {"type": "http.disconnect"}

App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


class TidegateAsgi:
    """ASGI middleware: `app.add_middleware(TidegateAsgi, gate=AsyncTidegate("tidegate:9401"))`.

    A request is decided before `app` sees it, on the first `max_body` bytes of its body; a longer one is decided as a
    body that was cut, and the rest goes to `app` as it comes. A refusal is answered in the caller's format. `app` gets
    no credential, and our own x-tidegate-* headers. What it answers is rewritten as it comes; a response that cannot be
    checked is withheld, or cut off where it has begun (`ResponseCutOff` is raised into the server). However an exchange
    ends, what it holds is settled and its place given back. Paths in `unguarded` are passed on unseen, which is for
    health checks. WebSockets, and what else is no HTTP request, are refused: nobody can judge them.
    """

    def __init__(
        self, app: App, gate: PolicyEngine, *, max_body: int = adapting.MAX_BODY, unguarded: Collection[str] = ()
    ) -> None:
        self._app = app
        self._gate = gate
        self._max_body = max_body
        self._unguarded = frozenset(unguarded)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """One connection, as ASGI has it."""
        match scope["type"]:
            case "http":
                if from_asgi(scope)["path"] in self._unguarded:
                    await self._app(scope, receive, send)
                else:
                    await self._guard(scope, receive, send)
            case "websocket":
                await receive()
                await send({"type": "websocket.close", "code": 1008})
            case "lifespan":
                await self._app(scope, receive, send)
            case other:
                raise adapting.ResponseCutOff(f"{other} cannot be checked")

    async def _guard(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        body = _Body(receive)
        await body.read(self._max_body)
        if body.gone:
            return
        arguments = from_asgi(scope)
        try:
            verdict = await self._gate.decide(
                **arguments, body=body.data[: self._max_body], body_partial=body.cut(self._max_body), exchange=True
            )
        except TidegateError:
            verdict = messages.unavailable("", arguments["path"])
        if isinstance(verdict, Denied):
            await _reply(send, verdict)
            return
        headers = [
            (name.encode("latin-1"), value.encode("latin-1"))
            for name, value in adapting.forwarded(arguments["headers"], verdict)
        ]
        # Extensions are ways around us: files sent by path, trailers, early hints.
        inner = {**scope, "headers": headers, "extensions": {}}
        if verdict.unchecked:
            await self._app(inner, body.receive, send)
            return
        async with AsyncExitStack() as stack:
            try:
                exchange = await stack.enter_async_context(self._gate.open_exchange(verdict))
            except TidegateError:
                await _reply(send, messages.unavailable(verdict.request_id, arguments["path"]))
                return
            response = _Response(arguments, verdict, exchange, send, body)
            await response.run(self._app, inner)


class _Body:
    """A request's body: its beginning read ahead, then handed on whole, message by message."""

    def __init__(self, receive: Receive) -> None:
        self.data = b""
        self.more = True
        self.gone = False
        self.over = asyncio.Event()
        self._receive = receive
        self._replayed = False

    async def read(self, limit: int) -> None:
        """Read until the end, or until more than `limit` bytes are there."""
        parts: list[bytes] = []
        size = 0
        while self.more and size <= limit:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self.gone = True
                return
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            self.more = message.get("more_body", False)
        self.data = b"".join(parts)

    def cut(self, limit: int) -> bool:
        """Whether `limit` bytes are not all of it."""
        return self.more or len(self.data) > limit

    async def receive(self) -> Message:
        """The application's `receive`. Once the response is decided to its end, the client is gone for it."""
        if not self._replayed:
            self._replayed = True
            data, self.data = self.data, b""
            return {"type": "http.request", "body": data, "more_body": self.more}
        news = asyncio.ensure_future(self._receive())
        over = asyncio.ensure_future(self.over.wait())
        try:
            await asyncio.wait((news, over), return_when=asyncio.FIRST_COMPLETED)
            message = news.result() if news.done() else _GONE
            self.gone = self.gone or message["type"] == "http.disconnect"
            return message
        finally:
            for waiting in (news, over):
                waiting.cancel()


class _Response:
    """What an application sends, on its way through an exchange. `body` is told when nothing more may leave."""

    def __init__(
        self, arguments: RequestArguments, verdict: Allowed, exchange: AsyncExchange, send: Send, body: _Body
    ) -> None:
        self._method = arguments["method"]
        self._path = arguments["path"]
        self._verdict = verdict
        self._exchange = exchange
        self._send = send
        self._body = body
        self._start: Message | None = None
        self._headers: list[tuple[str, str]] = []
        self._begun = False
        self._final = False
        self._ended = False
        self._failure: BaseException | None = None
        self._alive = KeepingAlive(self._put)

    async def run(self, app: App, scope: MutableMapping[str, Any]) -> None:
        """Run the application to its end, or to the end of what may leave."""
        try:
            async with self._alive:
                await app(scope, self._body.receive, self.send)
        except Exception:
            if self._failure is not None:
                raise self._failure from None
            if self._final:  # it was told to stop
                return
            if not self._begun and self._start is None:  # an error without a usage costs no tokens
                with suppress(TidegateError):
                    await self._exchange.head(500, "", end=True)
            raise
        if self._failure is not None:
            raise self._failure
        if not (self._ended or self._final or self._body.gone):
            raise adapting.ResponseCutOff("the application ended before its response")

    async def send(self, message: Message) -> None:
        """The application's `send`."""
        if self._final:
            if message.get("more_body"):
                raise OSError("the response is over")  # what a client that is gone looks like: the application stops
            return
        try:
            match message["type"]:
                case "http.response.start" if self._start is None:
                    await self._begin(message)
                case "http.response.body" if self._start is not None:
                    data, self._ended = bytes(message.get("body", b"")), not message.get("more_body", False)
                    await self._leave(await self._exchange.body(data, end=self._ended))
                case other:
                    raise adapting.ResponseCutOff(f"{other} cannot be checked, or is not expected here")
        except TidegateError as failure:
            await self._fail(failure)

    async def _begin(self, message: Message) -> None:
        self._start = message
        self._headers = [
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in message.get("headers", ())
        ]
        status, headers = message["status"], self._headers
        end = adapting.bodiless(self._method, status, headers)
        kind, coding = adapting.header(headers, "content-type"), adapting.header(headers, "content-encoding")
        tensors = adapting.tensors(headers)
        await self._leave(await self._exchange.head(status, kind, coding, end=end, tensors=tensors))

    async def _put(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def _leave(self, release: Release) -> None:
        if release.final:
            self._final = True
            self._body.over.set()
        async with self._alive.speaking(release):
            await self._let_out(release)

    async def _let_out(self, release: Release) -> None:
        if release.head is not None:
            assert self._start is not None  # noqa: S101 - an exchange has no head before it was shown one
            self._begun = True
            headers = adapting.answered(self._headers, self._verdict, release.head)
            await self._send({**_START, "status": self._start["status"], "headers": _encoded(headers)})
        if release.reply is not None:
            await _reply(self._send, release.reply, self._verdict)
        elif release.body or release.end:
            await self._send({"type": "http.response.body", "body": release.body, "more_body": not release.end})
        if release.aborted:
            raise adapting.ResponseCutOff("the response was withheld")

    async def _fail(self, failure: TidegateError) -> None:
        """Nothing more may leave: say so where nothing has, and cut off what has begun."""
        self._final = True
        self._body.over.set()
        async with self._alive.speaking(Release()):
            if self._begun or not isinstance(failure, TidegateUnavailable):
                self._failure = failure
                raise OSError("the response is over") from failure
            await _reply(self._send, messages.unavailable(self._verdict.request_id, self._path), self._verdict)


def _encoded(headers: list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers]


async def _reply(send: Send, denied: Denied, verdict: Allowed | None = None) -> None:
    headers = adapting.refused(denied, verdict.headers if verdict is not None else ())
    await send({**_START, "status": denied.status, "headers": _encoded(headers)})
    await send({"type": "http.response.body", "body": denied.body})
