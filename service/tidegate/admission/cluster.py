"""Script calls over the masters of a Redis Cluster: each goes to the one that serves the slot of its keys.

Each master has a `ScriptRunner`, so the calls that a few turns of the event loop make to it travel in one write; in
that, each slot is one EVALSHA, because a script may touch one slot only.

A node that does not serve a slot says so, and has done nothing, so following it repeats nothing. MOVED: the slot has
another master from now on. ASK: it is being moved, and a key that the call needs is not here any more, or is new; the
node that gets the slot may have it. TRYAGAIN: nor has that one all of them. A script needs all its keys in one place,
so the call then waits until the slot has been moved, which takes about as long as copying it; when that is longer
than `timeout`, it fails with `SlotMoving`. CLUSTERDOWN: nobody serves the slot; the call fails at once.

Nothing is repeated after a lost reply or a lost connection. The map is asked for again, and the next call goes where
the slot is by then: to a replica that was promoted, say.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from itertools import count
from typing import Any, NamedTuple

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import AskError, ClusterDownError, MovedError, ResponseError

from tidegate.admission.batches import Record, ScriptRunner
from tidegate.admission.scripts import Redirected, Script, ScriptFailed, SlotMoving
from tidegate.admission.slots import ClusterUrl, Slots, node_address
from tidegate.errors import StoreUnavailable

_FIRST_PAUSE = 0.001
_LONGEST_PAUSE = 0.02
_HALF_MOVED = "non local key"  # what a script is told that meets a key of its slot which is not here


class _Nothing(NamedTuple):
    """A node did nothing with a call, and said `why`; None when a script met a slot that is half here."""

    why: ResponseError | None


class ClusterRunner:
    """Runs scripts on the masters of the cluster at `url`; keys of a call must be of one slot.

    A call is answered or fails within `timeout` seconds, or twice that when it was redirected at the end of it.
    `max_batch` calls at most go out together. `record` is `ScriptRunner`'s.
    """

    def __init__(
        self,
        url: ClusterUrl,
        *,
        timeout: float,
        max_batch: int = 128,
        record: Record = lambda _how, _seconds: None,
    ) -> None:
        self.slots = Slots(url)
        self._url = url
        self._timeout = timeout
        self._max_batch = max_batch
        self._record = record
        self._nodes: dict[str, ScriptRunner] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._alone = count(REDIS_CLUSTER_HASH_SLOTS)
        self._closed = False

    async def run(self, script: Script, keys: Sequence[bytes], args: Sequence[bytes], now: bytes = b"") -> Any:
        """One call's element of the reply. Raises `StoreUnavailable`, and `SlotMoving`."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._timeout
        slot = key_slot(keys[0])
        address = self.slots.owner(slot) or await self._find(slot)
        reply = await self._ask(self._node(address).run(script, keys, args, now, group=slot))
        if not isinstance(reply, _Nothing):
            return reply
        pause, wait, asking, first = _FIRST_PAUSE, 0.0, False, True
        while True:
            # By itself from now on, for the keys of other calls may be elsewhere: where the slot was, then where that
            # points to; and when they are in no one place, again after a pause.
            why = reply.why
            if isinstance(why, MovedError):
                self.slots.moved(slot, _pointed(why, address))
            asking = type(why) is AskError and not (first or asking)
            if asking and isinstance(why, AskError):
                address = _pointed(why, address)
            else:
                address = self.slots.owner(slot) or await self._find(slot)
            if not (first or asking):
                wait, pause = pause, min(2 * pause, _LONGEST_PAUSE)
            if loop.time() + wait > until:
                raise SlotMoving(f"the keys of slot {slot} were in no one place for {self._timeout * 1000:g} ms")
            await asyncio.sleep(wait)
            wait, first = 0.0, False
            alone = next(self._alone)
            reply = await self._ask(self._node(address).run(script, keys, args, now, group=alone, asking=asking))
            if not isinstance(reply, _Nothing):
                return reply

    async def close(self) -> None:
        """Close all connections; whoever still waits gets `StoreUnavailable`."""
        self._closed = True
        await self.slots.close()
        for node in self._nodes.values():
            await node.close()
        if self._closing:
            await asyncio.wait(self._closing)

    async def _ask(self, answer: Coroutine[Any, Any, Any]) -> Any:
        """The answer, or `_Nothing` when it may be had elsewhere or later."""
        try:
            return await answer
        except Redirected as redirected:
            if isinstance(redirected.reply, ClusterDownError):
                self.slots.learn_soon()
                raise
            return _Nothing(redirected.reply)
        except ScriptFailed as failure:
            if _HALF_MOVED not in str(failure):
                raise
            return _Nothing(None)
        except StoreUnavailable:
            self.slots.learn_soon()
            raise

    async def _find(self, slot: int) -> str:
        if not self._closed:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._timeout):
                    await self.slots.learn()
        address = self.slots.owner(slot)
        if not address:
            why = self.slots.failure or "no node has said"
            raise StoreUnavailable(f"no master is known to serve slot {slot} of the cluster: {why}")
        return address

    def _node(self, address: str) -> ScriptRunner:
        node = self._nodes.get(address)
        if node is None:
            if self._closed:
                raise StoreUnavailable("closed")
            self._forget()
            node = ScriptRunner(
                self._url.node(address), timeout=self._timeout, max_batch=self._max_batch, record=self._record
            )
            self._nodes[address] = node
        return node

    def _forget(self) -> None:
        gone = [address for address, node in self._nodes.items() if address not in self.slots.masters and node.idle]
        for address in gone:
            closing = asyncio.create_task(self._nodes.pop(address).close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)


def _pointed(reply: AskError, asked: str) -> str:
    return node_address(reply.host, reply.port) if reply.host else f"{asked.rpartition(':')[0]}:{reply.port}"
