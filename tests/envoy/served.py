"""A Process servicer, its messages, and a store that answers when it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Literal

import grpc
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc
from tidegate.admission.queue.fair_queue import FairQueue
from tidegate.admission.queue.places import MemoryPlaces
from tidegate.clock import SystemClock
from tidegate.envoy.decisions import Decisions
from tidegate.envoy.exchange import Exchange
from tidegate.envoy.handoff import FIELD, NAMESPACE, Handoff
from tidegate.envoy.heartbeats import Heartbeats
from tidegate.envoy.holds import Holds
from tidegate.envoy.keeping import Keeping
from tidegate.envoy.places import Places
from tidegate.envoy.process import ProcessServicer
from tidegate.envoy.settle import Settlements

from tests.envoy.world import exchange


class Undecided(Decisions):
    """Nobody asks it."""

    def __init__(self) -> None:
        pass


class Desk:
    """A store that answers when it is told to."""

    def __init__(self, failure: Exception | None = None, known: bool = True) -> None:
        self.failure, self.known = failure, known
        self.gate = asyncio.Event()
        self.gate.set()
        self.seen: list[tuple[str, Mapping[str, int]]] = []
        self.outcomes: list[tuple[str, int]] = []
        self.errors: list[Exception] = []

    async def settle(self, reservation: str, given: Mapping[str, int]) -> bool:
        await self.gate.wait()
        self.seen.append((reservation, given))
        if self.failure is not None:
            raise self.failure
        return self.known

    async def extend(self, reservation: str, given: Mapping[str, int], *, hold: float) -> Literal["extended"]:
        return "extended"

    def settlements(self) -> Settlements:
        return Settlements(self.settle, record=lambda *given: self.outcomes.append(given), on_error=self.errors.append)


def message(handoff: Handoff | None = None, body: bytes = b"", end: bool = False) -> ext_proc.ProcessingRequest:
    made = ext_proc.ProcessingRequest()
    if handoff is None:
        made.response_body.body = body
        made.response_body.end_of_stream = end
        return made
    for name, value in ((":status", "200"), ("content-type", "text/event-stream")):
        field = made.response_headers.headers.headers.add()
        field.key, field.raw_value = name, value.encode()
    made.metadata_context.filter_metadata[NAMESPACE].fields[FIELD].string_value = handoff.encode()
    return made


class Line:
    """A gRPC context that takes what is written."""

    async def write(self, response: Any) -> None:
        await asyncio.sleep(0)

    async def abort(self, *_: Any) -> None:
        raise grpc.aio.AbortError


class Record(Line):
    def __init__(self) -> None:
        self.sent: list[ext_proc.ProcessingResponse] = []

    async def write(self, response: Any) -> None:
        self.sent.append(response)

    def out(self) -> bytes:
        bodies = (r.response_body.response.body_mutation.streamed_response.body for r in self.sent)
        return b"".join(bodies)


def servicer(
    desk: Desk,
    record: Callable[..., None] = lambda *_: None,
    make: Callable[[], Exchange] = exchange,
    decisions: Decisions | None = None,
) -> ProcessServicer:
    queue = FairQueue(MemoryPlaces(SystemClock()), SystemClock(), where="m")
    return ProcessServicer(
        exchange=make,
        decisions=decisions or Undecided(),
        keeping=Keeping(
            settlements=desk.settlements(),
            holds=Holds(desk, record=lambda *_: None, on_error=desk.errors.append),
            places=Places(queue, record=lambda *_: None, on_error=desk.errors.append),
            record=record,
        ),
        on_error=desk.errors.append,
        heartbeats=Heartbeats(lambda: 0.0, clock=SystemClock(), record=lambda: None),
    )
