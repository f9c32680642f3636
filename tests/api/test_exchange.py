"""Exchanges that are carried through our own API: one answer a message, and nothing held when a stream is over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from tidegate.api import tidegate_pb2 as pb
from tidegate.api.servicer import ApiServicer
from tidegate.errors import ProtocolViolation

from tests.client.sites import POLICY, SECRET
from tests.client.world import HOST, World, make_servicer, make_world

Head, Body = pb.ExchangeRequest.Head, pb.ExchangeRequest.Body
JSON = pb.ExchangeRequest(head=Head(status=200, content_type="application/json"))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(Path(tmp_path_factory.mktemp("exchange")), POLICY)


@pytest.fixture
def api(world: World) -> ApiServicer:
    return make_servicer(world)


def body(data: bytes, *, end: bool = False) -> pb.ExchangeRequest:
    return pb.ExchangeRequest(body=Body(data=data, end=end))


def request(world: World, path: str = "/api/score", *, exchange: bool = True, **headers: str) -> pb.DecideRequest:
    sent = {**dict([world.credential("frida")]), **{name.replace("_", "-"): value for name, value in headers.items()}}
    return pb.DecideRequest(
        request_id="r-1",
        method="POST",
        host=HOST,
        path=path,
        headers=[pb.Header(name=name, value=value) for name, value in sent.items()],
        body=b'{"model": "small"}',
        exchange=exchange,
    )


async def opened(api: ApiServicer, world: World, path: str = "/api/score") -> pb.ExchangeRequest:
    answer = await api.decide(request(world, path))
    assert answer.allow.handoff, answer
    return pb.ExchangeRequest(open=pb.ExchangeRequest.Open(handoff=answer.allow.handoff))


async def carried(api: ApiServicer, *messages: pb.ExchangeRequest) -> list[pb.ExchangeResponse]:
    async def source() -> AsyncIterator[pb.ExchangeRequest]:
        for message in messages:
            yield message

    async with aclosing(api.exchange(source())) as answers:
        return [answer async for answer in answers]


async def test_a_document_waits_for_its_end_and_leaves_with_its_receipt(api: ApiServicer, world: World) -> None:
    document = b'{"text": "mail bob@example.com"}'
    first, head, held, last = await carried(
        api, await opened(api, world), JSON, body(document[:9]), body(document[9:], end=True)
    )
    assert first == head == held == pb.ExchangeResponse()
    assert last.body == b'{"text": "mail [EMAIL]"}'
    assert (last.end, last.outcome) == (True, "rewritten")
    assert [field.name for field in last.head.set] == ["x-tidegate-coverage"]
    assert "content-length" in last.head.removed
    assert last.coverage == last.head.set[0].value


async def test_what_blocks_a_document_is_a_refusal_ready_to_be_sent(api: ApiServicer, world: World) -> None:
    text = f'{{"text": "{SECRET}"}}'.encode()
    *_, last = await carried(api, await opened(api, world), JSON, body(text, end=True))
    assert (last.reply.http_status, last.reply.reason, last.outcome) == (403, "content_blocked", "blocked")
    assert not last.HasField("head")
    assert SECRET.encode() not in last.SerializeToString()
    assert "r-1" in last.reply.body.decode()


@pytest.mark.parametrize("path", ["/api/score", "/v1/chat/completions"])
@pytest.mark.parametrize(
    "messages",
    [
        [],
        [JSON],
        [JSON, body(b"{")],
        [JSON, body(b"{}", end=True)],
        [pb.ExchangeRequest(head=Head(status=204, end=True))],
        [pb.ExchangeRequest(head=Head(status=500, end=True))],
        [pb.ExchangeRequest(head=Head(status=200, content_type="image/png"))],
        [JSON, body(b"{", end=True)],
    ],
)
async def test_however_a_stream_ends_nothing_stays_held(
    api: ApiServicer, world: World, path: str, messages: list[Any]
) -> None:
    """Both endpoints let one exchange run at once: by a limit on concurrency, and by their capacity."""
    for _ in range(3):
        start = await opened(api, world, path)
        assert (await api.decide(request(world, path))).deny.http_status in (429, 503)
        try:
            await carried(api, start, *messages)
        except ProtocolViolation:
            assert not messages or not messages[-1].body.end
        assert api._conductor is not None
        await api._conductor._keeping.drained()


@pytest.mark.parametrize(
    "messages",
    [
        [JSON],
        [body(b"{}", end=True)],
        [pb.ExchangeRequest()],
        [pb.ExchangeRequest(open=pb.ExchangeRequest.Open(handoff="[]"))],
        [pb.ExchangeRequest(open=pb.ExchangeRequest.Open())],
    ],
)
async def test_a_stream_that_was_not_decided_gets_nothing(api: ApiServicer, messages: list[Any]) -> None:
    with pytest.raises(ProtocolViolation):
        await carried(api, *messages)


async def test_a_wrong_order_is_an_error(api: ApiServicer, world: World) -> None:
    for wrong in ([body(b"x")], [JSON, JSON]):
        with pytest.raises(ProtocolViolation):
            await carried(api, await opened(api, world), *wrong)
        assert api._conductor is not None
        await api._conductor._keeping.drained()
    start = await opened(api, world)
    with pytest.raises(ProtocolViolation):
        await carried(api, start, start)


async def test_without_an_exchange_nothing_is_handed_over_or_kept(api: ApiServicer, world: World) -> None:
    for _ in range(2):
        answer = await api.decide(request(world, exchange=False))
        assert answer.HasField("allow")
        assert answer.allow.handoff == ""


async def test_a_decision_names_what_the_application_must_not_see(api: ApiServicer, world: World) -> None:
    spoofed = {"x_tidegate_subject": "root", "x_tidegate_admin": "1", "range": "bytes=0-1", "accept_encoding": "gzip"}
    allow = (await api.decide(request(world, **spoofed, x_kept="yes"))).allow
    assert set(allow.removed_request_headers) == {
        "authorization",
        "x-tidegate-subject",
        "x-tidegate-admin",
        "range",
        "accept-encoding",
    }
    assert {header.name: header.value for header in allow.request_headers} == {
        "x-tidegate-subject": "frida",
        "x-tidegate-tenant": "acme",
        "x-tidegate-tier": "free",
        "x-tidegate-endpoint": "score",
    }


async def test_a_service_that_stops_waits_for_what_its_exchanges_leave_to_do(api: ApiServicer, world: World) -> None:
    begun, start = asyncio.Event(), await opened(api, world)

    async def source() -> AsyncIterator[pb.ExchangeRequest]:
        yield start
        begun.set()
        await asyncio.Event().wait()

    async def carry() -> None:
        async with aclosing(api.exchange(source())) as answers:
            async for _ in answers:
                pass

    running = asyncio.create_task(carry())
    await begun.wait()
    running.cancel()  # as a server that stops does; it has not run yet
    assert api._conductor is not None
    await api._conductor._keeping.drained()
    assert running.done()
    assert (await api.decide(request(world))).HasField("allow")


async def test_an_exchange_that_is_over_says_how_much_of_it_left(api: ApiServicer, world: World) -> None:
    left: list[int] = []
    api._conductor._keeping.record = lambda exchange, _id: left.append(exchange.sent)  # type: ignore[union-attr]
    answers = await carried(api, await opened(api, world), JSON, body(b'{"text": "mail bob@example.com"}', end=True))
    assert left == [sum(len(answer.body) for answer in answers)] == [len(b'{"text": "mail [EMAIL]"}')]
