"""Settlements are made once, beside the streams, and what came of each is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc
import pytest
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc
from tidegate.envoy.metering import Settlement
from tidegate.envoy.settle import Settlements
from tidegate.errors import StoreUnavailable

from tests.envoy.priced import HELD, TOLD, USAGE, counted, event
from tests.envoy.served import Desk, Line, message, servicer


@pytest.mark.parametrize(
    ("desk", "outcome"),
    [
        (lambda: Desk(), "settled"),
        (lambda: Desk(known=False), "late"),
        (lambda: Desk(StoreUnavailable("down")), "unavailable"),
        (lambda: Desk(RuntimeError("boom")), "failed"),
    ],
)
async def test_how_each_settlement_went_is_recorded(desk: Any, outcome: str) -> None:
    made: Desk = desk()
    settlements = made.settlements()
    settlements.start(Settlement("res-1", {"tokens": 3}, lies=2))
    await settlements.drained()
    assert made.seen == [("res-1", {"tokens": 3})]
    assert made.outcomes == [(outcome, 2)]
    assert made.errors == ([made.failure] if outcome == "failed" else [])


async def test_a_stream_that_is_cancelled_settles_and_shutdown_waits_for_it() -> None:
    desk = Desk()
    desk.gate.clear()
    subject = servicer(desk)
    reached = asyncio.Event()

    async def messages() -> AsyncIterator[ext_proc.ProcessingRequest]:
        yield message(HELD)
        yield message(body=event("x" * 40))
        reached.set()
        await asyncio.Event().wait()

    stream = asyncio.create_task(subject.process(messages(), Line()))
    await reached.wait()
    stream.cancel()
    drained = asyncio.create_task(subject.drained())
    with pytest.raises(asyncio.CancelledError):
        await stream
    await asyncio.sleep(0)
    assert not drained.done()
    desk.gate.set()
    await drained
    assert desk.seen == [("res-1", counted(10))]


async def test_a_stream_that_ends_settles_once_and_never_waits_for_the_store() -> None:
    desk = Desk()
    desk.gate.clear()
    subject = servicer(desk)

    async def messages() -> AsyncIterator[ext_proc.ProcessingRequest]:
        yield message(HELD)
        yield message(body=event("hello", **USAGE), end=True)

    await subject.process(messages(), Line())
    desk.gate.set()
    await subject.drained()
    assert desk.seen == [("res-1", TOLD)]


@pytest.mark.parametrize("body", [b"data: {broken\n\n", b"data: \xff\n\n"])
async def test_a_stream_that_is_aborted_settles(body: bytes) -> None:
    desk = Desk(StoreUnavailable("down"))
    subject = servicer(desk)

    async def messages() -> AsyncIterator[ext_proc.ProcessingRequest]:
        yield message(HELD)
        yield message(body=event("x" * 40) + body)
        yield message(HELD)

    with pytest.raises(grpc.aio.AbortError):
        await subject.process(messages(), Line())
    await subject.drained()
    assert desk.outcomes == [("unavailable", 0)]
    assert desk.seen == [("res-1", counted(10))]


async def test_what_was_too_much_is_counted_once_it_is_settled() -> None:
    told: list[tuple[str, int]] = []
    for answer, counted_as in ((True, [("tokens", 3)]), (False, [])):
        told.clear()

        async def settle(_reservation: str, _costs: Mapping[str, int], answer: bool = answer) -> bool:
            return answer

        settlements = Settlements(
            settle, record=lambda *_: None, on_error=lambda _: None, over=lambda *what: told.append(what)
        )
        settlements.start(Settlement("res-1", TOLD, 0, (("tokens", 3),)))
        await settlements.drained()
        assert told == counted_as
