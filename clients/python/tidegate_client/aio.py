"""The policy service over gRPC, awaited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message

from tidegate_client.breaker import Breaker
from tidegate_client.channel import Link, Tls
from tidegate_client.engine import OnUnavailable, PolicyEngine
from tidegate_client.errors import TidegateError, TidegateUnavailable, failure_of
from tidegate_client.messages import Call, StreamRpc, open_method
from tidegate_client.retry import Attempts
from tidegate_client.stream import AsyncAsk
from tidegate_client.tracing import trace_context

Result = TypeVar("Result")


class AsyncTidegate(PolicyEngine):
    """A tidegate service at `target` ("host:port" or "unix:/path"), for asyncio.

    `timeout` is seconds for one call with all its retries, and for each answer of `filter_stream`;
    `response_timeout` for each answer of an exchange, which may be a whole document read. `retries` is how often
    UNAVAILABLE is tried again; `decide` and `consume` only when nothing was ever sent, streams never. With a `breaker`
    a service that does not answer is not asked for a while. Without `tls` the connection is plain. The connection is
    opened by the first call and then kept, one for each event loop.
    """

    def __init__(
        self,
        target: str,
        *,
        tls: Tls | None = None,
        timeout: float = 0.5,
        retries: int = 2,
        on_unavailable: OnUnavailable = "raise",
        options: Sequence[tuple[str, Any]] = (),
        response_timeout: float = 10.0,
        breaker: Breaker | None = None,
    ) -> None:
        self._link = Link(target, tls, timeout, retries, on_unavailable, options, response_timeout, breaker)
        self.on_unavailable = on_unavailable
        self._loop: asyncio.AbstractEventLoop | None = None
        self._channel: Any = None
        self._methods: dict[str, Any] = {}

    async def close(self) -> None:
        """Close the connection and cancel what is in flight. A later call opens a new one."""
        channel, self._channel, self._loop, self._methods = self._channel, None, None, {}
        if channel is not None:
            await channel.close()

    async def _call(self, call: Call[Result]) -> Result:
        with self._link.guard():
            return await self._send(call)

    async def _send(self, call: Call[Result]) -> Result:
        metadata = trace_context(call.request)
        attempts = Attempts(charges=call.charges, timeout=self._link.timeout, retries=self._link.retries)
        while True:
            try:
                with _closing_told():
                    answer = await self._method(call.rpc)(call.request, timeout=attempts.remaining(), metadata=metadata)
            except grpc.aio.AioRpcError as error:
                code, details = error.code().name, error.details() or ""
                pause = attempts.pause(code, details)
                if pause is None:
                    raise failure_of(code, details) from error
            else:
                return call.read(answer)
            await asyncio.sleep(pause)

    @asynccontextmanager
    async def _stream(self, rpc: StreamRpc, start: Message) -> AsyncGenerator[AsyncAsk, None]:
        call, timeout = self._method(rpc)(metadata=trace_context(start)), self._link.answer_timeout(rpc)

        async def ask(request: Message) -> Any:
            try:
                async with asyncio.timeout(timeout):
                    with _closing_told():
                        await call.write(request)
                        answer = await call.read()
            except TimeoutError:
                raise TidegateUnavailable("DEADLINE_EXCEEDED", "no answer in time") from None
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
                raise await _ended(call) from error
            if answer is grpc.aio.EOF:
                raise await _ended(call)
            return answer

        try:
            with self._link.guard():
                await ask(start)
            yield ask
        finally:
            call.cancel()

    def _method(self, rpc: str) -> Any:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._channel, self._loop, self._methods = self._link.open(grpc.aio), loop, {}
        method = self._methods.get(rpc)
        if method is None:
            method = self._methods[rpc] = open_method(self._channel, rpc)
        return method


@contextmanager
def _closing_told() -> Iterator[None]:
    """gRPC ends a call of a client that is closed as if its caller had been cancelled."""
    try:
        yield
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise TidegateUnavailable("CANCELLED", "the client was closed") from None


async def _ended(call: Any) -> TidegateError:
    """Why a stream that should go on does not."""
    code = (await call.code()).name
    return failure_of(code, await call.details() or "the stream ended early")
