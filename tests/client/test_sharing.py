"""One network client for many calls, threads and loops: opened when needed, closed, and opened again."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tidegate_client import AsyncTidegate, Denied, Tidegate, TidegateUnavailable
from tidegate_client.background import Background

from tests.client.scripted import Client, Scripted
from tests.client.world import HOST, World, free_port, held, make_servicer, serving


def test_calls_share_one_connection(client: Client, loop: Background) -> None:
    peers = set()

    class Peers(Scripted):
        async def _step(self, name: str, context: Any) -> None:
            peers.add(context.peer())

    with held(loop, serving(Peers().handlers())) as target:
        gate = client(target, timeout=5)
        for _ in range(5):
            gate.settle("r", 1)
            gate.filter_text("x", rulesets=["pii"])
    assert len(peers) == 1


def test_a_closed_client_opens_again(client: Client, loop: Background) -> None:
    with held(loop, serving(Scripted().handlers())) as target:
        gate = client(target, timeout=5)
        assert gate.settle("r", 1)
        gate.close()
        gate.close()
        assert gate.settle("r", 1)


def test_a_unix_socket_is_a_target(client: Client, loop: Background, tmp_path: Path) -> None:
    path = f"unix:{tmp_path / 'tidegate.sock'}"
    with held(loop, serving(Scripted().handlers(), target=path)):
        assert client(path, timeout=5).settle("r", 1)


def test_the_sync_client_is_shared_among_threads(world: World, loop: Background) -> None:
    results: list[str] = []
    with held(loop, serving(make_servicer(world).handlers())) as target, Tidegate(target, timeout=10) as gate:

        def work() -> None:
            for _ in range(10):
                results.append(gate.filter_text("bob@example.com", rulesets=["pii"]).text)
                results.extend(gate.filter_stream(["bob@", "example.com"], rulesets=["pii"]))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert results == ["[EMAIL]"] * 80


async def test_the_async_client_takes_async_chunks_and_many_at_once(world: World) -> None:
    async def chunks() -> AsyncIterator[str]:
        for chunk in ("bob@", "example", ".com"):
            await asyncio.sleep(0)
            yield chunk

    async with serving(make_servicer(world).handlers()) as target, AsyncTidegate(target, timeout=10) as gate:

        async def one() -> str:
            return "".join([text async for text in gate.filter_stream(chunks(), rulesets=["pii"])])

        assert await asyncio.gather(*(one() for _ in range(20))) == ["[EMAIL]"] * 20


async def test_cancelling_a_call_cancels_it(world: World) -> None:
    async with serving(Scripted(30.0).handlers()) as target, AsyncTidegate(target, timeout=30) as gate:
        call = asyncio.create_task(gate.decide("GET", "/", host=HOST))
        await asyncio.sleep(0.1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call


def test_closing_a_client_fails_what_is_in_flight(client: Client, loop: Background) -> None:
    """It is no cancellation of whoever waits: that would go through `except Exception`, up to the server."""
    service, failures = Scripted(30.0), []
    with held(loop, serving(service.handlers())) as target:
        gate = client(target, timeout=30)

        def call() -> None:
            try:
                gate.settle("r", 1)
            except TidegateUnavailable as failure:
                failures.append(failure.code)

        thread = threading.Thread(target=call)
        thread.start()
        while not service.calls:
            thread.join(0.01)
        gate.close()
        thread.join(20)
        assert failures == ["CANCELLED"]
        assert gate.settle("r", 1) is True


def test_one_async_client_serves_one_loop_after_another() -> None:
    """Made at import time, used by whichever loop runs."""
    gate = AsyncTidegate(f"127.0.0.1:{free_port()}", timeout=0.2, retries=0, on_unavailable="deny")

    async def once() -> int:
        verdict = await gate.decide("GET", "/", host=HOST)
        await gate.close()
        assert isinstance(verdict, Denied)
        return verdict.status

    assert [asyncio.run(once()) for _ in range(2)] == [503, 503]
