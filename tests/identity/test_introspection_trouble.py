"""Introspection endpoints that lie, hang, are not there, or are asked too much."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from tidegate.identity import BearerVerifier, Identifier, Introspector, KeySets, KeyStore
from tidegate.identity.turns import Turns
from tidegate.model import Deny, Identity, Request
from tidegate.policy import parse_policy
from tidegate.policy.compiled_identity import Introspection

from tests.identity.forge import FakeClock
from tests.identity.key_server import KeyServer
from tests.identity.opaque_tokens import ACTIVE, answer, ask, detail


@pytest.mark.parametrize(
    ("body", "headers", "status", "word"),
    [
        (b"", (), "200 OK", "json"),
        (b"<html>", (), "200 OK", "json"),
        (b"true", (), "200 OK", "json_not_object"),
        (b'{"active": true, "active": false}', (), "200 OK", "json_duplicate_key"),
        (b'{"active": ' + b"[" * 50 + b"]" * 50 + b"}", (), "200 OK", "json_depth"),
        (b'{"active": true, "x": "' + b"a" * 1024 * 1024 + b'"}', (), "200 OK", "too large"),
        (b'{"active": true}', ("content-encoding: gzip",), "200 OK", "compressed"),
        (b'{"active": true}', ("location: http://127.0.0.1:9/",), "302 Found", "status 302"),
        (b'{"active": true}', (), "201 Created", "status 201"),
        (b'{"error": "invalid_client"}', (), "401 Unauthorized", "status 401"),
        (b"", (), "500 Oops", "status 500"),
    ],
)
async def test_what_is_no_answer_is_503_and_not_remembered(
    body: bytes,
    headers: tuple[str, ...],
    status: str,
    word: str,
    introspector: Introspector,
    server: KeyServer,
    endpoint: Introspection,
) -> None:
    server.body, server.headers, server.status = body, headers, status
    assert word in await detail(introspector, endpoint, 503)
    server.headers, server.status = (), "200 OK"
    answer(server, **ACTIVE)
    assert isinstance(await ask(introspector, endpoint), Identity)


async def test_a_provider_that_is_not_there_is_left_alone_for_a_while(
    introspector: Introspector, server: KeyServer, endpoint: Introspection, clock: FakeClock
) -> None:
    await server.stop()
    assert "ConnectError" in await detail(introspector, endpoint, 503)
    again = KeyServer()
    await again.start()
    answer(again, **ACTIVE)
    moved = replace(endpoint, url=again.url)
    introspector._silent[moved.url] = introspector._silent[endpoint.url]
    for number in range(20):
        assert isinstance(await ask(introspector, moved, f"token{number}"), Deny)
    assert again.requests == 0
    clock.advance(1)
    assert isinstance(await ask(introspector, moved), Identity)
    await again.stop()


async def test_a_token_that_makes_the_provider_fail_does_not_shut_out_others(
    introspector: Introspector, server: KeyServer, endpoint: Introspection
) -> None:
    server.status = "500 Oops"
    assert "status 500" in await detail(introspector, endpoint, 503)
    server.status = "200 OK"
    assert isinstance(await ask(introspector, endpoint, "another"), Identity)


async def test_a_provider_that_hangs_holds_nobody_longer_than_its_time(
    clock: FakeClock, server: KeyServer, endpoint: Introspection
) -> None:
    introspector = Introspector(clock=clock, timeout=0.1)
    server.gate.clear()
    async with asyncio.timeout(10):
        verdicts = await asyncio.gather(*(ask(introspector, endpoint, f"t{number}") for number in range(200)))
    assert {verdict.status for verdict in verdicts if isinstance(verdict, Deny)} == {503}
    await introspector.close()


async def test_a_provider_is_asked_so_many_questions_at_once_and_no_more(
    clock: FakeClock, server: KeyServer, endpoint: Introspection
) -> None:
    introspector = Introspector(clock=clock, timeout=30.0, at_once=4)
    server.gate.clear()
    waiting = [asyncio.create_task(ask(introspector, endpoint, f"t{number}")) for number in range(20)]
    async with asyncio.timeout(20):
        while server.requests < 4:
            await server.arrived.wait()
            server.arrived.clear()
    assert server.requests == 4
    assert len(introspector._questions) == 20
    server.gate.set()
    assert all(isinstance(verdict, Identity) for verdict in await asyncio.gather(*waiting))
    assert server.requests == 20
    await introspector.close()


async def test_a_provider_that_hangs_takes_no_room_from_another(
    clock: FakeClock, server: KeyServer, endpoint: Introspection
) -> None:
    introspector = Introspector(clock=clock, timeout=30.0, at_once=120)  # more than a pool of httpx holds
    server.gate.clear()
    waiting = [asyncio.create_task(ask(introspector, endpoint, f"t{number}")) for number in range(200)]
    other = KeyServer()
    await other.start()
    answer(other, **ACTIVE)
    async with asyncio.timeout(20):
        while server.requests < 120:
            await server.arrived.wait()
            server.arrived.clear()
        assert isinstance(await ask(introspector, replace(endpoint, name="other", url=other.url)), Identity)
    server.gate.set()
    await asyncio.gather(*waiting)
    await introspector.close()
    await other.stop()


async def test_who_waits_too_long_for_a_turn_is_answered_503_and_shuts_nobody_out(
    clock: FakeClock, server: KeyServer, endpoint: Introspection
) -> None:
    introspector = Introspector(clock=clock, timeout=0.2, at_once=1)
    room = introspector._rooms[endpoint.url] = Turns(1)
    await room.acquire("")
    assert await detail(introspector, endpoint, 503) == "opaque: Unusable: too many questions at once"
    room.release()
    assert isinstance(await ask(introspector, endpoint), Identity)
    await introspector.close()


@pytest.mark.parametrize("mine", ["192.0.2.1", "2001:db8:1::1", ""])
async def test_made_up_tokens_of_one_caller_keep_nobody_else_waiting(
    clock: FakeClock, server: KeyServer, endpoint: Introspection, key_sets: KeySets, mine: str
) -> None:
    """They had every turn, one after the other, and whoever came after them was answered 503."""
    introspector = Introspector(clock=clock, timeout=30.0, at_once=2)
    verifier = BearerVerifier(clock=clock, key_sets=key_sets)
    keys = KeyStore({}, pepper=b"")
    identifier = Identifier(keys=keys, verifier=verifier, introspector=introspector, clock=clock)
    policy = replace(parse_policy("version: 1\n"), introspection=endpoint)

    def call(token: str, address: str) -> asyncio.Task[Identity | Deny]:
        fields = {"authorization": f"Bearer {token}"}
        request = Request("r", "GET", "h", "/", headers=fields, client_ip=address)
        return asyncio.create_task(identifier.identify(policy, request))

    server.gate.clear()
    flood = [call(f"made-up-{number}", f"2001:db8::{number:x}") for number in range(1, 31)]
    async with asyncio.timeout(20):
        while server.requests < 2:
            await server.arrived.wait()
            server.arrived.clear()
    others = [call("late", mine), call("later", "198.51.100.7"), call("late-again", mine)]
    await asyncio.sleep(0)
    server.gate.set()
    assert all(isinstance(verdict, Identity) for verdict in await asyncio.gather(*flood, *others))
    order = [seen.rpartition(b"token=")[2].partition(b"&")[0].decode() for seen in server.seen]
    assert {"late", "later", "late-again"} <= set(order[:9])
    await introspector.close()


async def test_turns_go_round_and_whoever_leaves_is_passed_over() -> None:
    turns, had = Turns(1), list[str]()

    async def ask_for(asker: str, name: str) -> None:
        await turns.acquire(asker)
        had.append(name)

    await turns.acquire("a")
    waiting = {name: asyncio.create_task(ask_for(name[0], name)) for name in ("a1", "a2", "a3", "b1", "c1", "c2")}
    await asyncio.sleep(0)
    waiting["b1"].cancel()
    for _ in range(4):
        turns.release()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert had == ["a1", "c1", "a2", "c2"]
    turns.release()  # a3 is given its turn, and leaves before it hears of that
    waiting["a3"].cancel()
    await asyncio.gather(*waiting.values(), return_exceptions=True)
    assert had == ["a1", "c1", "a2", "c2"]
    async with asyncio.timeout(5):
        await turns.acquire("d")
