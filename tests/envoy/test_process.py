"""Process while somebody else has the word: the ledger, a thread, or nobody because the client has left."""

from __future__ import annotations

import asyncio
import gzip
import threading
from collections.abc import AsyncIterator, Mapping
from typing import Any, Literal

import grpc
import pytest
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc
from tidegate.envoy.allowance import Answer
from tidegate.envoy.commands import Command
from tidegate.envoy.exchange import Exchange
from tidegate.envoy.process import ProcessServicer

from tests.envoy.budget import DONE, error_of, handoff, texts
from tests.envoy.priced import event
from tests.envoy.served import Desk, Record, message, servicer
from tests.envoy.world import HANDOFF, content_of, exchange


class Waiting(Desk):
    """A ledger that answers an extension when it is told to."""

    def __init__(self, answer: Literal["extended", "refused"]) -> None:
        super().__init__()
        self.answer: Literal["extended", "refused"] = answer
        self.asked = asyncio.Event()
        self.told = asyncio.Event()
        self.demands: list[Mapping[str, int]] = []

    async def extend(self, reservation: str, given: Mapping[str, int], *, hold: float) -> Any:
        self.demands.append(given)
        self.asked.set()
        await self.told.wait()
        return self.answer


@pytest.mark.parametrize("answer", ["extended", "refused"])
async def test_no_text_leaves_before_the_ledger_has_answered(answer: Literal["extended", "refused"]) -> None:
    desk, line = Waiting(answer), Record()
    subject: ProcessServicer = servicer(desk)
    first, second = texts(2)

    async def messages() -> AsyncIterator[ext_proc.ProcessingRequest]:
        yield message(handoff(10))
        yield message(body=first + second)
        yield message(body=DONE, end=True)

    stream = asyncio.create_task(subject.process(messages(), line))
    await desk.asked.wait()
    for _ in range(10):
        await asyncio.sleep(0)
    assert content_of(line.out()) == "x" * 39 + " "
    desk.told.set()
    await stream
    await subject.drained()
    steps = [{"tokens": 64}, {"tokens": 16}, {"tokens": 10}] if answer == "refused" else [{"tokens": 64}]
    assert desk.demands == steps
    if answer == "extended":
        assert line.out() == first + second + DONE
    else:
        assert error_of(line.out())["code"] == "rate_limit_exceeded"
        assert line.sent[-1].response_body.response.body_mutation.streamed_response.end_of_stream
        assert (
            line.sent[-1].dynamic_metadata.fields["tidegate"].struct_value.fields["outcome"].string_value == "stopped"
        )
    assert desk.seen == [("res-1", {"prompt_tokens": 100, "completion_tokens": 20, "tokens": 120})]


async def test_a_client_that_leaves_while_the_ledger_is_asked_is_settled() -> None:
    desk = Waiting("extended")
    subject: ProcessServicer = servicer(desk)

    async def messages() -> AsyncIterator[ext_proc.ProcessingRequest]:
        yield message(handoff(0))
        yield message(body=texts(1)[0])
        await asyncio.Event().wait()

    stream = asyncio.create_task(subject.process(messages(), Record()))
    await desk.asked.wait()
    stream.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stream
    await subject.drained()
    assert desk.seen == [("res-1", {"prompt_tokens": 100, "completion_tokens": 10, "tokens": 110})]


@pytest.mark.parametrize("rest", [1, 2000])
async def test_what_breaks_while_a_stream_waits_lets_nothing_out(rest: int) -> None:
    class Broken(Exchange):
        def extended(self, answer: Answer) -> list[Command]:
            raise RuntimeError("boom")

    desk, line = Desk(), Record()
    subject = servicer(desk, make=lambda: Broken(exchange().plan, exchange().open_body))

    async def messages() -> AsyncIterator[ext_proc.ProcessingRequest]:
        yield message(handoff(10))
        yield message(body=b"".join(texts(1 + rest)))
        raise AssertionError("read on after a failure")

    with pytest.raises(grpc.aio.AbortError):
        await subject.process(messages(), line)
    await subject.drained()
    assert content_of(line.out()) == "x" * 39 + " "
    assert [str(error) for error in desk.errors] == ["boom"]
    assert len(desk.seen) == 1


@pytest.mark.parametrize(("rest", "aside"), [(100, False), (2000, True)])
async def test_a_long_rest_is_read_aside(rest: int, aside: bool) -> None:
    threads: list[str] = []

    class Seen(Exchange):
        def extended(self, answer: Answer) -> list[Command]:
            threads.append(threading.current_thread().name)
            return super().extended(answer)

    desk, line = Desk(), Record()
    subject = servicer(desk, make=lambda: Seen(exchange().plan, exchange().open_body))

    async def messages() -> AsyncIterator[ext_proc.ProcessingRequest]:
        yield message(handoff(0))
        yield message(body=event("x" * 400) + b"".join(texts(rest, size=4)), end=True)

    await subject.process(messages(), line)
    assert content_of(line.out()) == "x" * 400 + "xxx " * rest
    assert threads[0].startswith("filter") is aside


@pytest.mark.parametrize("coding", ["", "gzip"])
async def test_a_compressed_body_is_read_aside_however_short(coding: str) -> None:
    threads: list[str] = []

    class Seen(Exchange):
        def body(self, data: bytes, end: bool) -> list[Command]:
            threads.append(threading.current_thread().name)
            return super().body(data, end)

    line = Record()
    subject = servicer(Desk(), make=lambda: Seen(exchange().plan, exchange().open_body))
    stream = b"".join(texts(2))

    async def messages() -> AsyncIterator[ext_proc.ProcessingRequest]:
        head = message(HANDOFF)
        field = head.response_headers.headers.headers.add()
        field.key, field.raw_value = "content-encoding", coding.encode()
        yield head
        yield message(body=gzip.compress(stream) if coding else stream, end=True)

    await subject.process(messages(), line)
    assert line.out() == stream
    assert threads[0].startswith("filter") is bool(coding)
