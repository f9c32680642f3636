"""The traffic of a load test sees what it must: with nothing between it and the model, every kind of harm."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.load.answers import Dialect, answer, read, text
from tests.load.connection import End, Response
from tests.load.kinds import KINDS, LET_IN
from tests.load.model import Model, serve
from tests.load.tally import Leak, Tally, judge
from tests.load.traffic import Callers, Traffic, mix

DIALECTS: list[Dialect] = ["chat", "chat stream", "messages stream", "generate stream"]
STREAM = KINDS["chat-stream"]


def arrived(body: bytes, status: int = 200, end: End = "whole", **headers: str) -> Response:
    return Response(status, headers, body, end)


def cleaned(seed: int) -> bytes:
    """What a right gate lets out of a chat stream in one piece."""
    told = text(seed, 1)
    body = b"".join(answer("chat stream", seed, 1, usage=False).writes).decode()
    assert told.pieces[0] in body
    return body.replace(told.pieces[0], told.expected).encode()


@given(st.integers(1, 1 << 40), st.integers(1, 60))
def test_a_text_says_what_may_be_left_of_it(seed: int, pieces: int) -> None:
    told = text(seed, pieces)
    whole = "".join(told.pieces)
    assert len(told.pieces) == pieces
    assert told.secrets
    assert all(secret in whole and secret not in told.expected for secret in told.secrets)
    assert text(seed, pieces) == told


def test_values_are_cut_somewhere_inside() -> None:
    cut = [t for t in (text(seed, 30) for seed in range(50)) if not all(s in "|".join(t.pieces) for s in t.secrets)]
    assert len(cut) > 25


@pytest.mark.parametrize("dialect", DIALECTS)
@given(seed=st.integers(1, 1 << 40), cut=st.floats(0, 1))
def test_what_is_read_of_an_answer_is_its_text_or_the_beginning_of_it(dialect: Dialect, seed: int, cut: float) -> None:
    body = b"".join(answer(dialect, seed, 20, usage=True).writes)
    whole = "".join(text(seed, 20).pieces)
    assert read(dialect, body) == (whole, True, "")
    if dialect != "chat":
        assert whole.startswith(read(dialect, body[: int(cut * len(body))]).text)


def test_a_right_answer_is_one_with_exactly_what_may_leave() -> None:
    body = cleaned(7)
    kind = replace(STREAM, pieces=1)
    assert judge(kind, 7, arrived(body)) == ("chat-stream", "200", (), len(body))
    beaten = judge(kind, 7, arrived(body.replace(b"\n\n", b"\n\n: keep-alive\n\n")))
    assert beaten == ("chat-stream", "200", (), len(body))
    lines = b"".join(answer("generate stream", 7, 1, usage=False).writes)
    beat = b'{"model":"small","response":"","done":false}\n'
    assert judge(KINDS["generate-stream"], 7, arrived(lines.replace(b"\n", b"\n" + beat, 1))).received == len(lines)
    lost = judge(kind, 7, arrived(body.replace(b"data: [DONE]", b": gone")))
    changed = judge(kind, 7, arrived(body.replace(b" so far.", b" so far")))
    told = judge(kind, 7, arrived(body + b'data: {"choices": [], "usage": null}\n\n'))
    assert [lost.outcome, changed.outcome, told.outcome] == ["200 wrong body"] * 3
    stopped = judge(kind, 7, arrived(b'data: {"error": {"code": "x"}}\n\ndata: [DONE]\n\n'))
    assert stopped.outcome == "200 stopped"


def test_a_value_is_found_in_bytes_and_across_events_and_in_headers() -> None:
    seed = next(seed for seed in range(100) if "planted" in text(seed, 1).secrets[0])
    secret = text(seed, 1).secrets[0]
    kind = replace(STREAM, pieces=1)
    whole = b"".join(answer("chat stream", seed, 1, usage=False).writes)
    assert {leak.where for leak in judge(kind, seed, arrived(whole)).leaks} == {"bytes", "text"}
    half = len(secret) // 2
    parts = [
        f'data: {{"choices": [{{"delta": {{"content": "{part}"}}}}]}}\n\n' for part in (secret[:half], secret[half:])
    ]
    assert judge(kind, seed, arrived("".join(parts).encode())).leaks == (Leak("chat-stream", seed, "text"),)
    assert judge(kind, seed, arrived(b"{}", 502, note=secret)).leaks == (Leak("chat-stream", seed, "headers"),)


def test_what_broke_off_must_be_a_beginning_of_what_may_leave() -> None:
    kind = replace(STREAM, pieces=30)
    events = b"".join(answer("chat stream", 3, 30, usage=False).writes)
    expected = text(3, 30).expected
    start = f'data: {{"choices": [{{"delta": {{"content": "{expected[:25]}"}}}}]}}\n\ndata: {{"cho'.encode()
    assert judge(kind, 3, arrived(start, end="truncated")).outcome == "truncated"
    assert judge(kind, 3, arrived(events, end="truncated")).outcome == "truncated wrong body"
    assert judge(kind, 3, Response(0, {}, b"", "reset")).outcome == "reset"
    assert judge(kind, 3, Response(0, {}, b"", "timed out")).outcome == "timed out"


def test_a_tally_tells_what_is_wrong() -> None:
    tally = Tally({"chat": {"200": 9, "503": 1}, "wrong-key": {"401": 4, "200": 1}, "over": {"200": LET_IN + 2}})
    assert tally.total == 17 + LET_IN
    assert tally.wrong == {"chat: 503": 1, "wrong-key: 200": 1}
    assert tally.wrong_allows == 3
    assert tally.count("200") == 12 + LET_IN
    later = Tally({"chat": {"200": 12, "503": 1}}, leaks=(Leak("chat", 1, "text"),))
    assert later.since(tally).outcomes == {"chat": {"200": 3}}
    assert later.since(tally).leaks == later.leaks


@pytest.fixture
async def bare() -> AsyncIterator[tuple[Model, int]]:
    """The model with nothing before it."""
    model = Model()
    async with await serve(model) as server:
        yield model, server.sockets[0].getsockname()[1]


async def test_with_nothing_before_the_model_every_kind_of_harm_is_seen(bare: tuple[Model, int]) -> None:
    model, port = bare
    callers = [Callers(replace(group.kind, gap=0.0), group.count) for group in mix(streams=10)]
    tally = await Traffic(port, {}, ramp=0.0).run(callers, requests=300)
    assert tally.total == 300
    assert tally.wrong_allows > 0
    assert {leak.where for leak in tally.leaks} == {"bytes", "text"}
    assert {leak.kind for leak in tally.leaks} >= {"chat", "chat-stream", "messages-stream", "generate-stream", "reset"}
    assert {"chat: 200 wrong body", "reset: truncated wrong body"} <= tally.wrong.keys()
    assert model.counts.strangers == 300
    assert sum(model.counts.requests.values()) == 300
    assert sum(tally.received.values()) <= sum(model.counts.served.values())


async def test_what_a_client_saw_is_what_the_model_served(bare: tuple[Model, int]) -> None:
    model, port = bare
    callers = [Callers(replace(KINDS["messages-stream"], gap=0.0), 5), Callers(KINDS["chat"], 5)]
    tally = await Traffic(port, {}, ramp=0.0).run(callers, requests=60)
    assert dict(model.counts.served) == dict(tally.received)
    assert sum(model.counts.answered.values()) == 60
    assert model.counts.open == 0


async def test_streams_are_held_all_the_time_and_nothing_is_cut_off(bare: tuple[Model, int]) -> None:
    model, port = bare
    traffic = Traffic(port, {}, ramp=0.0)
    tally = await traffic.run(mix(streams=40, gap=0.02, others=0.01), requests=120)
    assert tally.held[1] >= 40
    assert traffic.open == model.counts.open == 0
    assert not tally.count("timed out") + tally.count("reset")


async def test_nobody_there_is_an_outcome_and_no_exception() -> None:
    model = Model()
    async with await serve(model) as server:
        port = server.sockets[0].getsockname()[1]
    tally = await Traffic(port, {}, ramp=0.0).run([Callers(KINDS["chat"], 2)], requests=6)
    assert tally.outcomes == {"chat": {"reset": 6}}


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        (b"", "timed out"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{", "timed out wrong body"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{|", "truncated wrong body"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n|", "truncated wrong body"),
        (b"HTTP/1.1 200 OK\r\ncontent-le|", "reset"),
        (b"HTTP/1.1 503 No\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}|", "503"),
    ],
    ids=["silent", "silent in the body", "short", "no last chunk", "no status", "refused"],
)
async def test_how_an_answer_ended_is_told_apart(said: bytes, outcome: str) -> None:
    """A "|" hangs up; else the server goes on saying nothing."""
    over = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said.rstrip(b"|"))
        await writer.drain()
        if not said.endswith(b"|"):
            await over.wait()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        traffic = Traffic(port, {}, ramp=0.0, patience=0.2 if "timed" in outcome else 20.0)
        tally = await traffic.run([Callers(KINDS["chat"], 1)], requests=1)
        over.set()
    assert tally.outcomes == {"chat": {outcome: 1}}
