"""ext_proc: one Process stream, one exchange. The servicer is a loop; `exchange` is the protocol."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import grpc
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc

from tidegate.envoy import translate
from tidegate.envoy.aside import Aside, effort_of
from tidegate.envoy.commands import Abort, Body, Command, Extend
from tidegate.envoy.exchange import Exchange
from tidegate.envoy.heartbeats import Heartbeats
from tidegate.envoy.keeping import Keeping
from tidegate.envoy.terms import Term
from tidegate.errors import ProtocolViolation
from tidegate.filtering.spotting import Effort

SERVICE = "envoy.service.ext_proc.v3.ExternalProcessor"


class ProcessServicer:
    """Answers Envoy's external processing filter for responses in FULL_DUPLEX_STREAMED.

    Where the route sends it, the request comes first: its headers, and its body in BUFFERED.

    A stream ends when Envoy ends it, or by abort. Returning earlier would make Envoy pass the rest of the body unread.
    """

    def __init__(
        self,
        *,
        exchange: Callable[[], Exchange],
        keeping: Keeping,
        on_error: Callable[[Exception], None],
        heartbeats: Heartbeats,
    ) -> None:
        self._exchange = exchange
        self._keeping = keeping
        self._on_error = on_error
        self._heartbeats = heartbeats
        self._endings: set[asyncio.Task[None]] = set()
        self._responses = Aside("filter")
        # Envoy gives a request up after its message timeout, and a response never: so they do not wait for each other.
        self._requests = Aside("ask")

    def handler(self) -> grpc.GenericRpcHandler:
        """The method table for a grpc.aio server."""
        method = grpc.stream_stream_rpc_method_handler(
            self.process,
            request_deserializer=ext_proc.ProcessingRequest.FromString,
            response_serializer=ext_proc.ProcessingResponse.SerializeToString,
        )
        return grpc.method_handlers_generic_handler(SERVICE, {"Process": method})

    async def process(self, messages: AsyncIterator[ext_proc.ProcessingRequest], context: Any) -> None:
        """Carry one exchange through."""
        exchange = self._exchange()
        stream = _Stream(context, self._heartbeats)
        kept = self._keeping.open(exchange, partial(self._interrupt, exchange, stream))
        term, waits = kept.term, kept.waits
        try:
            async with stream:
                async for message in messages:
                    waits.came()
                    stream.term = None  # it is not for others to speak now
                    commands = exchange.over(term.why) if term.why else []
                    commands = commands or await self._take(exchange, message, stream)
                    kept.follow()
                    while commands:
                        kept.settle()
                        last = commands[-1]
                        if not isinstance(last, Extend):
                            await stream.carry_out(commands, exchange)
                            break
                        await stream.carry_out(commands[:-1], exchange)
                        step = partial(exchange.extended, await self._keeping.extend(last))
                        commands = await self._responses.run(step, effort_of(exchange.effort, exchange.waiting))
                    stream.term = term
                    waits.left(exchange.progress)
        except grpc.aio.AbortError:
            raise
        except ProtocolViolation as failure:
            exchange.failure = exchange.failure or "protocol"
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(failure))
        except Exception as failure:  # noqa: BLE001 - whatever broke, the body must not pass: end with an error
            exchange.failure = exchange.failure or "internal"
            self._on_error(failure)
            await context.abort(grpc.StatusCode.INTERNAL, "the response could not be processed")
        finally:
            kept.close(stream.request_id)

    async def drained(self) -> None:
        """Wait for streams that were told to stop, and for all that they left to do."""
        await self._keeping.drained()
        while self._endings:
            await asyncio.wait(tuple(self._endings))

    def _interrupt(self, exchange: Exchange, stream: _Stream) -> None:
        """End what is silent now; what is busy ends with its next message."""
        if stream.term is None or not stream.term.why:
            return
        if commands := exchange.over(stream.term.why):
            self._keeping.settlements.follow(exchange)
            task = asyncio.create_task(stream.end_early(commands, exchange))
            self._endings.add(task)
            task.add_done_callback(self._endings.discard)

    async def _take(self, exchange: Exchange, message: ext_proc.ProcessingRequest, stream: _Stream) -> list[Command]:
        if message.HasField("response_headers"):
            head, stream.request_id = translate.head_of(message)
            return exchange.head(head)
        step = partial(_step, exchange, message)
        stream.unanswered += len(message.response_body.body) + len(message.request_body.body)
        effort = effort_of(exchange.effort, stream.unanswered)
        if effort is Effort.QUICK:
            return step()
        return await (self._requests if message.HasField("request_body") else self._responses).run(step, effort)


def _step(exchange: Exchange, message: ext_proc.ProcessingRequest) -> list[Command]:
    match message.WhichOneof("request"):
        case "request_headers":
            return exchange.request(translate.request_head_of(message))
        case "request_body":
            return exchange.request_body(message.request_body.body)
        case "response_body":
            return exchange.body(message.response_body.body, message.response_body.end_of_stream)
        case "response_trailers":
            return exchange.trailers()
        case other:
            raise ProtocolViolation(f"ext_proc is configured to send {other}, which this service does not take")


class _Stream:
    """Our end of one stream, which beats within its block. `unanswered` is bytes that came since something was sent.

    `term` is there while the stream waits for a message.
    """

    def __init__(self, context: Any, heartbeats: Heartbeats) -> None:
        self.request_id = ""
        self.term: Term | None = None
        self.unanswered = 0
        self.written = 0.0
        self._context = context
        self._heartbeats = heartbeats
        self._beating: asyncio.Task[None] | None = None
        self._beat = b""  # as of what was last written: the exchange itself may be at work on another thread
        self._writing = asyncio.Lock()

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, *_: object) -> None:
        beating, self._beating = self._beating, None  # its end leads back here, and would wait for the collector
        if beating is not None:
            beating.cancel()
            await asyncio.wait((beating,))
            if not beating.cancelled():
                beating.exception()  # it could not write: whoever reads the stream learns of that, too

    async def beat(self) -> bool:
        async with self._writing:
            self.written = self._heartbeats.now()
            if self._beat:
                await self._context.write(translate.processing_response(Body(self._beat, end=False), "", ""))
            return bool(self._beat)

    def id_of(self, exchange: Exchange) -> str:
        return exchange.handoff.request_id if exchange.handoff else self.request_id

    async def end_early(self, commands: list[Command], exchange: Exchange) -> None:
        """Carry out the last commands beside the stream's own task, which waits for a message."""
        with contextlib.suppress(grpc.aio.AbortError, grpc.aio.UsageError):  # it has ended so, or the peer was faster
            await self.carry_out(commands, exchange)

    async def carry_out(self, commands: list[Command], exchange: Exchange) -> None:
        if not commands:
            return
        async with self._writing:
            self._beat = b""
            await self._write(commands, exchange)
            self._beat = exchange.beat
        self.unanswered = 0
        self.written = self._heartbeats.now()
        if self._beat and self._beating is None:
            self._beating = self._heartbeats.start(self)

    async def _write(self, commands: list[Command], exchange: Exchange) -> None:
        dialect, trace = (exchange.handoff.dialect, exchange.handoff.trace) if exchange.handoff else ("problem", "")
        request_id = self.id_of(exchange)
        for command in commands:
            if isinstance(command, Abort):
                await self._context.abort(grpc.StatusCode.ABORTED, "the response was withheld")
            elif not isinstance(command, Extend):
                response = translate.processing_response(command, request_id, dialect, trace)
                if exchange.finished and command is commands[-1]:
                    # The receipt of a live body: headers are long gone, metadata reaches the access log.
                    receipt = response.dynamic_metadata.fields
                    receipt["coverage"].string_value = exchange.coverage().header()
                    receipt["outcome"].string_value = exchange.outcome
                if isinstance(command, Body):
                    exchange.sent += len(command.data)  # before: Envoy may end the stream while we still write
                await self._context.write(response)
