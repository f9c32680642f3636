"""ext_proc: one Process stream, one exchange. The servicer is a loop; `exchange` is the protocol."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from typing import Any

import grpc
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc

from tidegate.envoy import translate_process as translate
from tidegate.envoy.aside import Aside, effort_of
from tidegate.envoy.commands import Command, Extend, Forward, RequestBody, RequestHead, RequestTrailers
from tidegate.envoy.decisions import Decisions
from tidegate.envoy.exchange import Exchange
from tidegate.envoy.heartbeats import Heartbeats
from tidegate.envoy.keeping import Keeping
from tidegate.envoy.stream import Stream
from tidegate.envoy.verdicts import Refused
from tidegate.errors import ProtocolViolation
from tidegate.filtering.spotting import Effort
from tidegate.model import Deny, Reason

SERVICE = "envoy.service.ext_proc.v3.ExternalProcessor"
_BODILESS = Deny(400, Reason.REQUEST_MALFORMED, "The request has trailers and no body.", detail="trailers")


class ProcessServicer:
    """Answers Envoy's external processing filter for responses in FULL_DUPLEX_STREAMED.

    Where the route sends it, the request comes first: its headers, and its body in BUFFERED. Where nobody has decided
    about it, that is done here, and the stream is the whole of an exchange.

    A stream ends when Envoy ends it, or by abort. Returning earlier would make Envoy pass the rest of the body unread.
    """

    def __init__(
        self,
        *,
        exchange: Callable[[], Exchange],
        decisions: Decisions,
        keeping: Keeping,
        on_error: Callable[[Exception], None],
        heartbeats: Heartbeats,
    ) -> None:
        self._exchange = exchange
        self._decisions = decisions
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
        stream = Stream(context, self._heartbeats)
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

    def _interrupt(self, exchange: Exchange, stream: Stream) -> None:
        """End what is silent now; what is busy ends with its next message."""
        if stream.term is None or not stream.term.why:
            return
        if commands := exchange.over(stream.term.why):
            self._keeping.settlements.follow(exchange)
            task = asyncio.create_task(stream.end_early(commands, exchange))
            self._endings.add(task)
            task.add_done_callback(self._endings.discard)

    async def _take(self, exchange: Exchange, message: ext_proc.ProcessingRequest, stream: Stream) -> list[Command]:
        if message.HasField("response_headers"):
            answer, stream.request_id = translate.head_of(message)
            return exchange.head(answer)
        if message.HasField("request_headers") and translate.decides(message):
            stream.request_id = translate.request_id_of(message)
            if not translate.body_follows(message):
                return await self._decide(exchange, stream, message)
            stream.undecided = message
            return [Forward()]  # Envoy keeps all of it until the body is answered
        if message.HasField("request_body") and stream.undecided is not None:
            return await self._decide(exchange, stream, stream.undecided, message.request_body.body)
        if message.HasField("request_trailers"):
            return [RequestTrailers()] if stream.undecided is None else await self._refuse(exchange, stream)
        step = partial(_step, exchange, message)
        stream.unanswered += len(message.response_body.body) + len(message.request_body.body)
        effort = effort_of(exchange.effort, stream.unanswered)
        if effort is Effort.QUICK:
            return step()
        return await (self._requests if message.HasField("request_body") else self._responses).run(step, effort)

    async def _refuse(self, exchange: Exchange, stream: Stream) -> list[Command]:
        """Trailers came in the place of the body: headers can no more be changed, so the credential would go on."""
        assert stream.undecided is not None  # noqa: S101 - asked only of those
        read = partial(translate.request_of, stream.undecided, b"")
        stream.undecided = None
        refused = await self._decisions.decide(
            lambda hops: read(trusted_hops=hops)._replace(request=_BODILESS), stream.metadata
        )
        assert isinstance(refused, Refused)  # noqa: S101 - what is no request is not admitted
        return self._refused(exchange, stream, refused)

    def _refused(self, exchange: Exchange, stream: Stream, refused: Refused) -> list[Command]:
        stream.request_id, stream.dialect = refused.request_id, refused.dialect
        return exchange.refused(refused)

    async def _decide(
        self, exchange: Exchange, stream: Stream, message: ext_proc.ProcessingRequest, body: bytes | None = None
    ) -> list[Command]:
        """The decision about the request of these headers, whose body is None where none is waited for."""
        stream.undecided = None
        read = partial(translate.request_of, message, body or b"")
        decided = await self._decisions.decide(lambda hops: read(trusted_hops=hops), stream.metadata)
        if isinstance(decided, Refused):
            return self._refused(exchange, stream, decided)
        stream.shown = decided.shown
        if body is None:
            exchange.request(RequestHead(handoff=decided.handoff))
            return [Forward(decided)]
        exchange.request(replace(translate.request_head_of(message), handoff=decided.handoff))
        step = partial(exchange.request_body, body)
        (answer,) = await self._requests.run(step, effort_of(exchange.effort, len(body)))
        assert isinstance(answer, RequestBody)  # noqa: S101 - a request that was admitted goes to the model
        return [replace(answer, admitted=decided)]


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
