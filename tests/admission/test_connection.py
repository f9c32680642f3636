"""A Redis that forgot scripts, is frozen, gone, full, demoted or set back: and nothing is done for who has left."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress

import pytest
import redis.asyncio
from tidegate.admission import connection
from tidegate.admission.redis import RedisLedger
from tidegate.admission.scripts import ScriptFailed, StoreTimedOut
from tidegate.demo.redis_server import RedisServer
from tidegate.errors import StoreUnavailable
from tidegate.model import Charge

from tests.admission.world import FEW


async def test_a_flushed_script_is_loaded_again(ledger: RedisLedger, client: redis.asyncio.Redis) -> None:
    for _ in range(3):
        await client.script_flush()
        held = await ledger.reserve([Charge(FEW, "k", 10)], hold=60)
        await client.script_flush()
        both = await asyncio.gather(
            ledger.settle(held.reservation, {"requests": 1}), ledger.reserve([Charge(FEW, "other")])
        )
        assert both[0] is True
        assert both[1].refused is None
    assert (await ledger.reserve([Charge(FEW, "k", 0)])).states[0].remaining == 97


async def test_a_flushed_script_is_loaded_again_for_an_extension(
    ledger: RedisLedger, client: redis.asyncio.Redis
) -> None:
    held = await ledger.reserve([Charge(FEW, "k", 10)], hold=60)
    await client.script_flush()
    assert await ledger.extend(held.reservation, {"requests": 1}, hold=60) == "extended"
    assert (await ledger.reserve([Charge(FEW, "k", 0)])).states[0].remaining == 89


async def test_a_thawed_redis_does_nothing_for_who_met_it_frozen(redis_server: RedisServer) -> None:
    warm, ledger = (RedisLedger(redis_server.url, timeout=timeout) for timeout in (5.0, 0.1))
    await warm.reserve([Charge(FEW, "other")])  # the script is known, the clock is not
    os.kill(redis_server.pid, signal.SIGSTOP)
    try:
        for _ in range(3):
            with pytest.raises(StoreTimedOut):
                await ledger.reserve([Charge(FEW, "k")], hold=60)
    finally:
        os.kill(redis_server.pid, signal.SIGCONT)
    async with asyncio.timeout(5):
        while not await ledger.ready():
            await asyncio.sleep(0.01)
    assert (await ledger.reserve([Charge(FEW, "k", 0)])).states[0].remaining == 100
    await ledger.close()
    await warm.close()


async def test_a_redis_that_is_gone_fails_at_once_and_may_come_back(redis_server: RedisServer) -> None:
    ledger = RedisLedger(redis_server.url, timeout=1.0)
    await ledger.reserve([Charge(FEW, "k")])
    redis_server.stop(kill=True)
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await ledger.reserve([Charge(FEW, "k")])
    redis_server.start()
    assert (await ledger.reserve([Charge(FEW, "k")])).states[0].remaining == 99
    await ledger.close()


async def test_a_connection_that_takes_longer_than_a_call_is_there_for_the_next(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_CONNECT_TIMEOUT", 60.0)
    ledger = RedisLedger(f"{redis_server.url}/1", timeout=0.05)  # to have its database is a part of connecting
    async with redis.asyncio.Redis.from_url(redis_server.url) as client:
        before = (await client.info("stats"))["total_connections_received"]
        os.kill(redis_server.pid, signal.SIGSTOP)
        try:
            for _ in range(2):
                with pytest.raises(StoreTimedOut):
                    await ledger.reserve([Charge(FEW, "k")])
        finally:
            os.kill(redis_server.pid, signal.SIGCONT)
        async with asyncio.timeout(5):
            while not await ledger.ready():
                await asyncio.sleep(0.01)
        assert (await client.info("stats"))["total_connections_received"] == before + 1
    await ledger.close()


async def test_a_store_whose_clock_jumps_is_believed_at_the_next_call(ledger: RedisLedger) -> None:
    await ledger.reserve([Charge(FEW, "k")])
    ledger._runner._connection._ahead -= 3600 * 1_000_000
    with pytest.raises(StoreTimedOut):
        await ledger.reserve([Charge(FEW, "k")])
    assert (await ledger.reserve([Charge(FEW, "k")])).states[0].remaining == 98


async def test_a_store_that_takes_no_writes_is_not_ready(redis_server: RedisServer) -> None:
    ledger = RedisLedger(redis_server.url, timeout=1.0)
    assert await ledger.ready()
    async with redis.asyncio.Redis.from_url(redis_server.url) as client:
        await client.config_set("maxmemory", "1")
        assert not await ledger.ready()
        with pytest.raises(StoreUnavailable):
            await ledger.reserve([Charge(FEW, "k")])
        await client.config_set("maxmemory", "0")
    assert await ledger.ready()
    await ledger.close()


async def test_a_master_that_became_a_replica_is_left_for_whoever_has_its_name_now(redis_server: RedisServer) -> None:
    ledger = RedisLedger(redis_server.url, timeout=5.0)
    await ledger.reserve([Charge(FEW, "k")])
    async with redis.asyncio.Redis.from_url(redis_server.url) as client:
        connected = {one["id"] for one in await client.client_list()} - {str(await client.client_id())}
        await client.execute_command("REPLICAOF", "127.0.0.1", "1")
        with pytest.raises(StoreUnavailable, match="replica") as caught:
            await ledger.reserve([Charge(FEW, "k")])
        assert not isinstance(caught.value, ScriptFailed)
        async with asyncio.timeout(5):
            while connected & {one["id"] for one in await client.client_list()}:
                await asyncio.sleep(0.01)
        await client.execute_command("REPLICAOF", "NO", "ONE")
    assert (await ledger.reserve([Charge(FEW, "k")])).refused is None
    await ledger.close()


async def test_after_an_answer_that_makes_no_sense_nobody_gets_somebody_elses() -> None:
    """The connection was kept, so each later call was given the answer of the one before it."""
    opened = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        with suppress(ConnectionError):
            while await reader.read(65536):
                writer.write(b":1\r\n:2\r\n:3\r\n")
                await writer.drain()
        writer.close()
        ended.release()

    ended = asyncio.Semaphore(0)
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    ledger = RedisLedger(f"redis://{host}:{port}", timeout=5.0)
    for calls in (1, 2, 3):
        with pytest.raises(StoreUnavailable, match="the limit store failed"):
            await ledger.reserve([Charge(FEW, "k")])
        assert opened == calls
    await ledger.close()
    for _ in range(3):
        await ended.acquire()
    server.close()
    await server.wait_closed()
