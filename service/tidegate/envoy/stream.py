"""Our end of one Process stream: what is written to it, and what it has to be told of the exchange meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

import grpc
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc

from tidegate.envoy import translate_process as translate
from tidegate.envoy.commands import Abort, Body, Command, Extend, Reply
from tidegate.envoy.exchange import Exchange
from tidegate.envoy.heartbeats import Heartbeats
from tidegate.envoy.terms import Term
from tidegate.outward import Dialect, Headers, trace_headers


class Stream:
    """Our end of one stream, which beats within its block. `unanswered` is bytes that came since something was sent.

    `term` is there while the stream waits for a message. `undecided` are the headers of a request whose body has to
    come before its decision; `shown` goes to the client with the response, where the decision was taken in this stream.
    """

    def __init__(self, context: Any, heartbeats: Heartbeats) -> None:
        self.request_id = ""
        self.dialect: Dialect = "problem"
        self.shown: Headers = ()
        self.undecided: ext_proc.ProcessingRequest | None = None
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
        """Say that the stream lives, if something may be put in here, and tell whether it was."""
        async with self._writing:
            self.written = self._heartbeats.now()
            if self._beat:
                await self._context.write(translate.processing_response(Body(self._beat, end=False), "", "problem"))
            return bool(self._beat)

    def metadata(self) -> Mapping[str, str]:
        """That of Envoy's call."""
        return dict(self._context.invocation_metadata() or ())

    def id_of(self, exchange: Exchange) -> str:
        """Its request's id."""
        return exchange.handoff.request_id if exchange.handoff else self.request_id

    async def end_early(self, commands: list[Command], exchange: Exchange) -> None:
        """Carry out the last commands beside the stream's own task, which waits for a message."""
        with contextlib.suppress(grpc.aio.AbortError, grpc.aio.UsageError):  # it has ended so, or the peer was faster
            await self.carry_out(commands, exchange)

    async def carry_out(self, commands: list[Command], exchange: Exchange) -> None:
        """Write what they come to, one after the other; an `Extend` is left to the caller."""
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
        handoff = exchange.handoff
        dialect = handoff.dialect if handoff else self.dialect
        request_id = self.id_of(exchange)
        for command in commands:
            if isinstance(command, Abort):
                await self._context.abort(grpc.StatusCode.ABORTED, "the response was withheld")
            elif not isinstance(command, Extend):
                shown = self.shown
                if isinstance(command, Reply) and not shown and handoff:
                    shown = trace_headers(handoff.trace)  # of any other response Check has said it
                response = translate.processing_response(command, request_id, dialect, shown)
                if isinstance(command, Reply):
                    exchange.replied(len(response.immediate_response.body))
                if exchange.finished and command is commands[-1]:
                    # The receipt of a live body: headers are long gone, metadata reaches the access log.
                    translate.tell(response, coverage=exchange.coverage().header(), outcome=exchange.outcome)
                if isinstance(command, Body):
                    exchange.sent += len(command.data)  # before: Envoy may end the stream while we still write
                await self._context.write(response)
