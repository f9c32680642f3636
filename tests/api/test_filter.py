"""Texts over our own API: bounded, read beside the event loop, and a stream in its order or not at all."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
import pytest
from tidegate.api import tidegate_pb2 as pb
from tidegate.api.servicer import SERVICE
from tidegate.filtering.formats.json_body import JsonBody

from tests.api.calls import END, PII, START, ask, channel_to, text
from tests.client.world import World, make_servicer


async def stream(channel: Any, messages: Sequence[pb.FilterStreamRequest]) -> list[pb.FilterStreamResponse]:
    method = channel.stream_stream(
        f"/{SERVICE}/FilterStream",
        request_serializer=pb.FilterStreamRequest.SerializeToString,
        response_deserializer=pb.FilterStreamResponse.FromString,
    )
    call = method(timeout=10)
    answers = []
    for message in messages:
        await call.write(message)
        answers.append(await call.read())
    await call.done_writing()
    while (answer := await call.read()) is not grpc.aio.EOF:
        answers.append(answer)
    return answers


async def test_a_text_over_the_cap_is_refused(world: World) -> None:
    async with channel_to(make_servicer(world, max_text=100)) as channel:
        message = pb.FilterTextRequest(text=f'["{"a" * 200}"]', selection=PII, content_type="application/json")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ask(channel, "FilterText", message, pb.FilterTextResponse)
    assert (caught.value.code(), caught.value.details()) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "the text is too large",
    )


async def test_every_message_gets_one_answer(world: World) -> None:
    async with channel_to(make_servicer(world)) as channel:
        answers = await stream(channel, [START, text("bob@exa"), text(""), text("mple.com"), END])
    assert [answer.HasField("done") for answer in answers] == [False, False, False, False, True]
    assert "".join(answer.text for answer in answers) == "[EMAIL]"
    assert [(f.entity, f.count) for f in answers[-1].done.findings] == [("EMAIL", 1)]


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [START],
        [START, text("bob@example.com")],
        [END],
        [text("bob@example.com"), END],
        [START, START, END],
        [pb.FilterStreamRequest()],
        [START, pb.FilterStreamRequest(), END],
        [START, text("a"), START, END],
    ],
)
async def test_a_broken_sequence_ends_in_an_error_and_releases_nothing(
    world: World, messages: list[pb.FilterStreamRequest]
) -> None:
    received: list[pb.FilterStreamResponse] = []
    async with channel_to(make_servicer(world)) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            received += await stream(channel, messages)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert not any("@" in answer.text or answer.HasField("done") for answer in received)


async def test_what_comes_after_the_end_is_not_read(world: World) -> None:
    async def messages() -> AsyncIterator[pb.FilterStreamRequest]:
        for message in (START, text("hello"), END, text("bob@example.com")):
            yield message

    answers = [answer async for answer in make_servicer(world).filter_stream(messages())]
    assert [answer.text for answer in answers] in (["", "hello", ""], ["", "", "hello"])


async def test_a_large_document_is_read_beside_the_event_loop(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: set[int] = set()
    finish = JsonBody.finish

    def spy(body: JsonBody) -> bytes:
        threads.add(threading.get_ident())
        return finish(body)

    monkeypatch.setattr(JsonBody, "finish", spy)
    document = json.dumps(["ada@example.com " * 10_000])
    message = pb.FilterTextRequest(text=document, selection=PII, content_type="application/json")
    answer = await make_servicer(world).filter_text(message)
    assert "ada@" not in answer.text
    assert threads.isdisjoint({threading.get_ident()})
