"""A policy in front of a gRPC service on asyncio: each call decided from its metadata before it runs."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager, suppress
from typing import Any, Never

import grpc.aio

from tidegate_client import adapting, messages, metadata
from tidegate_client.engine import PolicyEngine
from tidegate_client.errors import TidegateError
from tidegate_client.exchange import AsyncExchange
from tidegate_client.results import Allowed, Denied


class AsyncTidegateInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpc ships no types
    """`grpc.aio.server(interceptors=[AsyncTidegateInterceptor(AsyncTidegate("tidegate:9401"), host="…")])`.

    See `TidegateInterceptor`. A method that is not async is refused with TypeError (INTERNAL to its caller).
    """

    def __init__(
        self, gate: PolicyEngine, *, host: str, max_body: int = adapting.MAX_BODY, unguarded: Collection[str] = ()
    ) -> None:
        self._gate = gate
        self._host = host
        self._max_body = max_body
        self._unguarded = frozenset(unguarded)

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], details: Any) -> Any:
        """gRPC's hook: the handler of a call."""
        handler = await continuation(details)
        if handler is None or details.method in self._unguarded:
            return handler
        run = metadata.behaviour_of(handler)
        if not (_is(inspect.iscoroutinefunction, run) or _is(inspect.isasyncgenfunction, run)):
            raise TypeError(f"{details.method} is not async: serve it with grpc.server and TidegateInterceptor")

        async def unary(request: Any, context: Any) -> Any:
            async with self._running(details, handler, request, context) as call:
                answer = await run(call.request, call)
                await call.end()
                return answer

        async def stream(request: Any, context: Any) -> None:
            async with self._running(details, handler, request, context) as call:
                answers = run(call.request, call)
                if inspect.isawaitable(answers):  # it writes to its context
                    await answers
                else:
                    async for answer in answers:
                        await call.write(answer)
                await call.end()

        return metadata.rebuilt(handler, stream if handler.response_streaming else unary)

    @asynccontextmanager
    async def _running(self, details: Any, handler: Any, request: Any, context: Any) -> AsyncGenerator[_Call, None]:
        body, partial = (b"", True) if handler.request_streaming else (request, len(request) > self._max_body)
        known = metadata.metadata_of(details)
        incoming = metadata.Incoming(details.method, known, self._host, context.peer(), body[: self._max_body], partial)
        try:
            verdict = await self._gate.decide(**incoming.arguments())
        except TidegateError:
            verdict = messages.unavailable("")
        if isinstance(verdict, Denied):
            await _abort(context, verdict)
        if not handler.request_streaming:
            request = await _parsed(handler, request, context)
        if verdict.unchecked:
            yield _Call(context, incoming, verdict, request, None)
            return
        try:
            opened = self._gate.open_exchange(verdict)
            exchange = await opened.__aenter__()
        except TidegateError:
            await _abort(context, messages.unavailable(verdict.request_id))
        call = _Call(context, incoming, verdict, request, exchange)
        try:
            yield call
        except Exception:
            await call.fail()
            raise
        finally:
            await opened.__aexit__(None, None, None)


class _Call(metadata.ServiceContext):
    """A call that runs, and the exchange behind it."""

    def __init__(
        self, context: Any, incoming: metadata.Incoming, verdict: Allowed, request: Any, exchange: AsyncExchange | None
    ) -> None:
        super().__init__(context, incoming, verdict)
        self.request = request
        self._exchange = exchange
        self._begun = False

    async def write(self, message: Any) -> None:
        await self.begin()
        await self._context.write(message)

    async def begin(self) -> None:
        """The first message may leave, or the call is aborted."""
        if self._begun or self._exchange is None:
            return
        self._begun = True
        try:
            release = await self._exchange.head(200, metadata.CONTENT_TYPE)
        except TidegateError:
            await _abort(self._context, messages.unavailable(self._verdict.request_id))
        if release.reply is not None:
            await _abort(self._context, release.reply)

    async def end(self) -> None:
        """The last message was made. A status that is not OK ends the call here, and no message leaves with it."""
        failure = metadata.failure_of(self._context)
        if failure is not None:
            await self.fail()
            await self._context.abort(failure, metadata.details_of(self._context))
        await self.begin()
        if self._exchange is not None:
            with suppress(TidegateError):  # nothing is left to check, and what is not settled lapses
                await self._exchange.body(b"", end=True)

    async def fail(self) -> None:
        """The service failed. An error costs no tokens, unless messages have left before it."""
        if self._exchange is not None and not self._begun:
            with suppress(TidegateError):
                await self._exchange.head(500, metadata.CONTENT_TYPE, end=True)


def _is(kind: Callable[[Any], bool], run: Any) -> bool:
    return kind(run) or kind(type(run).__call__)


async def _abort(context: Any, denied: Denied) -> Never:
    code, trailers = metadata.status_of(denied)
    await context.abort(code, denied.message, trailers)
    raise AssertionError("abort raises")


async def _parsed(handler: Any, request: bytes, context: Any) -> Any:
    try:
        return handler.request_deserializer(request) if handler.request_deserializer else request
    except Exception:  # noqa: BLE001 - as gRPC does
        await context.abort(grpc.StatusCode.INTERNAL, "Exception deserializing request!")
