"""What a replica knows of a list of revoked tokens: it only grows, until nobody can say that it is whole."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from tidegate.errors import StoreUnavailable
from tidegate.identity import revocation_feed, revocation_store
from tidegate.identity.feed import Feed
from tidegate.identity.revocation import Revocation, RevokedTokens
from tidegate.identity.revocation_feed import StoredRevocations
from tidegate.identity.revocation_store import Listed, RedisRevocations

from tests.identity.forge import NOW, FakeClock
from tests.identity.test_revocation import at


class Scripted:
    """A store that answers as it is told."""

    def __init__(self, *answers: Listed | Exception) -> None:
        self.answers = [*answers]

    async def since(self, at: bytes) -> Listed:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def close(self) -> None:
        pass


class Deaf:
    """A store whose client takes a cancellation for its own timeout, as those of asyncio's timeouts may."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def changed(self) -> RevokedTokens | None:
        self.asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise StoreUnavailable("late") from None

    def unknown(self) -> RevokedTokens:
        return RevokedTokens(unavailable="out")

    async def close(self) -> None:
        pass


async def test_a_feed_ends_where_its_cancellation_was_lost(clock: FakeClock) -> None:
    """A worker that was told to stop drained for ever, and with it all that were to be replaced after it."""
    source = Deaf()
    feed = Feed(source, name="deaf", clock=clock, adopt=lambda _: None, interval=0.0)
    feed.start()
    await source.asked.wait()
    await asyncio.wait_for(feed.close(), 30)


ONE, TWO = Revocation(token="t1", until=at(NOW + 100)), Revocation(token="t2")
OUT = StoreUnavailable("out")


async def test_what_was_once_revoked_stays_so_while_the_process_lives(clock: FakeClock) -> None:
    adopted: list[RevokedTokens] = []
    states: list[str] = []
    odd: list[Exception] = []
    store = Scripted(
        OUT, Listed(b"a", (ONE,)), Listed(b"a", None), OUT, Listed(b"b", (TWO,)), Listed(b"c", (), unreadable=1),
        Listed(b"d", ()), OUT, Listed(b"d", None),
    )  # fmt: skip
    feed = Feed(
        StoredRevocations(store, clock=clock),
        name="revoked tokens",
        clock=clock,
        adopt=adopted.append,
        on_state=states.append,
        on_error=odd.append,
        max_age=60,
    )
    assert feed.known.unavailable
    await feed.refresh()
    assert (states, adopted) == (["none"], [])
    for _ in range(2):
        await feed.refresh()
    assert feed.known.entries == {ONE}
    await feed.refresh()
    assert feed.known.entries == {ONE}
    assert states == ["none", "current", "old"]
    await feed.refresh()  # the store has lost the first
    assert feed.known.entries == {ONE, TWO}
    await feed.refresh()  # another version's entry: nobody knows whom it refuses
    assert [type(error) for error in odd] == [ValueError]
    clock.advance(101)
    await feed.refresh()
    assert feed.known.entries == {TWO}  # the first is over
    clock.advance(61)
    await feed.refresh()
    assert feed.known.unavailable
    assert states[-1] == "none"
    await feed.refresh()
    assert feed.known.entries == {TWO}
    assert states[-1] == "current"


async def test_a_long_list_is_read_and_put_in_force_beside_the_event_loop(
    listed: RedisRevocations, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    done_on: list[int] = []

    def noted(step: Any) -> Any:
        def run(*given: Any) -> Any:
            done_on.append(threading.get_ident())
            return step(*given)

        return run

    monkeypatch.setattr(revocation_store, "_entries", noted(revocation_store._entries))
    monkeypatch.setattr(revocation_feed, "_joined", noted(revocation_feed._joined))
    await listed.add(TWO, now=NOW)
    feed = Feed(StoredRevocations(listed, clock=clock), name="revoked tokens", clock=clock, adopt=lambda _: None)
    await feed.refresh()
    assert feed.known.entries == {TWO}
    assert len(done_on) == 2
    assert threading.get_ident() not in done_on
