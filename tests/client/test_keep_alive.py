"""An application that thinks long keeps its client: what the service allows is put into the body, and nothing else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tidegate_client.exchange import Release
from tidegate_client.keep_alive import KeepingAlive

from tests.client.sites import POLICY, Site, site_of, text_of
from tests.client.world import World, make_world
from tests.envoy.clock import Turned

BEAT = b": keep-alive\n\n"
ALLOWED = Release(keep_alive_after=15.0, keep_alive=BEAT)


class Line:
    """What was sent, on a clock that a test turns."""

    def __init__(self) -> None:
        self.clock = Turned()
        self.sent: list[bytes] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.alive = KeepingAlive(self.send, now=lambda: self.clock.now, sleep=self.clock.sleep)

    async def send(self, data: bytes) -> None:
        self.sent.append(data)
        await self.gate.wait()

    async def release(self, release: Release) -> None:
        async with self.alive.speaking(release):
            await self.send(b"text")

    async def turn(self, seconds: float) -> None:
        for _ in range(5):
            await asyncio.sleep(0)
        await self.clock.turn(seconds)


async def test_silence_is_filled_once_in_each_span_and_only_while_it_is_allowed() -> None:
    line = Line()
    async with line.alive:
        await line.release(ALLOWED)
        await line.turn(14)
        assert line.sent == [b"text"]
        await line.turn(31)
        assert line.sent == [b"text", *[BEAT] * 3]
        await line.release(Release())
        await line.turn(1000)
        assert line.sent == [b"text", *[BEAT] * 3, b"text"]
        await line.release(ALLOWED)
        await line.turn(15)
        assert line.sent[-1] == BEAT
    before = len(line.sent)
    await line.turn(1000)
    assert len(line.sent) == before


async def test_nothing_is_put_in_while_something_else_is_sent() -> None:
    line = Line()
    async with line.alive:
        await line.release(ALLOWED)
        line.gate.clear()
        slow = asyncio.create_task(line.release(ALLOWED))
        await line.turn(100)
        assert line.sent == [b"text", b"text"]
        line.gate.set()
        await slow
        await line.turn(15)
        assert line.sent[2:] == [BEAT]


async def test_nothing_follows_a_release_that_failed() -> None:
    line = Line()
    async with line.alive:
        await line.release(ALLOWED)
        with pytest.raises(ValueError, match="gone"):
            async with line.alive.speaking(ALLOWED):
                raise ValueError("gone")
        await line.turn(1000)
        assert line.sent == [b"text"]


async def test_a_client_that_is_gone_leaves_no_task_behind() -> None:
    line = Line()

    async def gone(_: bytes) -> None:
        raise OSError("gone")

    line.alive = KeepingAlive(gone, now=lambda: line.clock.now, sleep=line.clock.sleep)
    before = asyncio.all_tasks()
    async with line.alive:
        async with line.alive.speaking(ALLOWED):
            pass
        await line.turn(60)
    assert asyncio.all_tasks() == before


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    policy = POLICY.replace("platform:\n", "platform:\n  heartbeat: 1s\n", 1)
    return make_world(Path(tmp_path_factory.mktemp("beating")), policy)


@pytest.fixture(params=["fastapi network", "fastapi local"])
def site(request: pytest.FixtureRequest, world: World) -> Iterator[Site]:
    with site_of(request.param, world) as site:
        yield site


def test_a_real_server_sends_it_while_the_app_is_silent(site: Site) -> None:
    think = threading.Event()
    site.model.sse("write to bob@exam", think, "ple.com today")
    received = b""
    with site.stream() as answer:
        for part in answer.iter_raw():
            received += part
            if received.count(BEAT) == 2:
                think.set()
    assert b"bob" not in received
    assert text_of(received.replace(BEAT, b"").decode()) == "write to [EMAIL] today"


def test_a_document_is_never_kept_alive(site: Site) -> None:
    site.model.json({"text": "mail bob@example.com"})
    assert site.ask().json() == {"text": "mail [EMAIL]"}
    assert isinstance(site.ask(), httpx.Response)
