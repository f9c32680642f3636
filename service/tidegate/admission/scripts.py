"""Calls of Lua scripts, coalesced: what a few turns of the event loop ask for goes to Redis in one write.

One connection, one batch at a time. While a batch is out the next one collects, and a little longer while calls keep
coming, so batches grow with the load and a single call waits for next to nothing. All the calls of one script and
`group` in a batch are one EVALSHA, whose reply has one element a call; a script that Redis does not know is loaded and
called again. NOSCRIPT means that nothing ran, so this repeats nothing. Nothing else is ever repeated here: when a reply
is lost, nobody can say whether the script ran.

A script is told when its callers give up, so a store that was frozen does not, when it thaws, do what nobody waits for
any more. That needs its clock: each reply brings it, and one that is older than `_FRESH` is asked for first.

Time: a call is answered, or fails, within `timeout` of being made, and `_GRACE`. Only when this process was so late to
send it that less than half of `timeout` was left, the store still gets that half: a stall here is no fault there.
Connecting may take longer; it goes on in the background.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal

import hiredis
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    NoScriptError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)

from tidegate.errors import StoreUnavailable

_GRACE = 0.005
_CONNECT_TIMEOUT = 2.0
_FRESH = 10.0
# Under load gRPC brings a call every few turns of the loop, never several in one. Waiting for them costs an idle loop
# some 40 us, and a busy one nothing: each batch wakes Redis and then this process again, which cools both their caches.
# Half as many turns make a request through Envoy dearer by 40 us of 1,250, and twice as many no cheaper (measured).
_QUIET = 16  # turns without a new call, after which a batch goes out
_TURNS = 64  # and at the most
Record = Callable[[Literal["answered", "late", "failed"], float], None]
_READ_ONLY = b"-READONLY "  # in what a script reports that failed by it


class StoreTimedOut(StoreUnavailable):
    """The store did not answer in time. Whether it did what was asked is unknown."""


class ScriptFailed(StoreUnavailable):
    """The store answered, but this one call failed in it (a key of another type, say). Others are not affected."""


class SlotMoving(StoreUnavailable):
    """A slot of a cluster was being moved for too long: nothing was done. Its node is well, and serves its others."""


class Redirected(StoreUnavailable):
    """A node of a cluster did nothing with a call: `reply` says where the slot is, or that it is nowhere just now."""

    def __init__(self, reply: ResponseError) -> None:
        super().__init__(f"the limit store is a cluster, and its slots are elsewhere: {reply}")
        self.reply = reply


@dataclass(frozen=True, slots=True)
class Script:
    """A script over many calls: KEYS and ARGV[3..] of all of them one after the other.

    ARGV[1] is the time, for tests, or "", ARGV[2] when the callers give up, or "". Reply: { now, one for each call },
    none when it was too late. Times in microseconds.
    """

    source: bytes
    sha: bytes


def load_script(*names: str) -> Script:
    """The named files of this package, joined."""
    source = b"\n".join(files(__package__).joinpath(name).read_bytes() for name in names)
    return Script(source, hashlib.sha1(source, usedforsecurity=False).hexdigest().encode())


class _Call:
    __slots__ = ("args", "asking", "at", "future", "group", "keys", "now", "script")

    def __init__(
        self,
        script: Script,
        keys: Sequence[bytes],
        args: Sequence[bytes],
        now: bytes,
        group: int,
        asking: bool,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.script = script
        self.keys = keys
        self.args = args
        self.now = now
        self.group = group
        self.asking = asking
        self.at = loop.time()
        self.future: asyncio.Future[Any] = loop.create_future()

    def fail(self, error: StoreUnavailable) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class ScriptRunner:
    """Runs scripts on the Redis at `url`. `timeout` in seconds; `max_batch` calls at most go out together.

    `record` is told of each batch how it went ("answered", "late", "failed") and after how many seconds.
    """

    def __init__(
        self, url: str, *, timeout: float, max_batch: int, record: Record = lambda _how, _seconds: None
    ) -> None:
        pool = ConnectionPool.from_url(
            url,
            protocol=2,
            driver_info=None,
            socket_timeout=None,
            socket_connect_timeout=_CONNECT_TIMEOUT,
            retry=Retry(NoBackoff(), 0),
        )
        self._new_connection: Callable[[], AbstractConnection] = pool.make_connection
        self._timeout = timeout
        self._max_batch = max_batch
        self._record = record
        self._waiting: deque[_Call] = deque()
        self._connection: AbstractConnection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._flushing: asyncio.Task[None] | None = None
        self._closed = False
        self._ahead = 0  # the server's clock less this loop's, microseconds, as learnt at `_learnt` (loop time)
        self._learnt = -math.inf

    @property
    def idle(self) -> bool:
        """Whether nobody waits for an answer."""
        return self._flushing is None

    async def run(
        self,
        script: Script,
        keys: Sequence[bytes],
        args: Sequence[bytes],
        now: bytes = b"",
        *,
        group: int = 0,
        asking: bool = False,
    ) -> Any:
        """One call's element of the reply. Raises `StoreUnavailable`, and `Redirected` when nothing ran.

        A caller that is cancelled leaves the others alone; if its call had been sent, what it did stands. `now`, for
        tests, is the time in microseconds, and is taken from the first call of a batch. Calls of different groups are
        not sent in one EVALSHA; all of a group are `asking` (for a slot that a cluster is just moving to this node), or
        none.
        """
        if self._closed:
            raise StoreUnavailable("closed")
        call = _Call(script, keys, args, now, group, asking, asyncio.get_running_loop())
        self._waiting.append(call)
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush())
        reply = await call.future
        if isinstance(reply, bytes):
            raise ScriptFailed(reply.decode(errors="replace"))
        return reply

    async def close(self) -> None:
        """Fail what is waiting and close the connection."""
        self._closed = True
        for task in (self._flushing, self._connecting):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
        self._fail(self._waiting, StoreUnavailable("closed"))
        await self._drop()

    async def _flush(self) -> None:
        batch: list[_Call] = []
        try:
            while self._waiting:
                await self._gather()
                batch = [call for call in self._take() if not call.future.done()]
                if batch:
                    await self._exchange(batch)
        finally:
            self._flushing = None
            self._fail((*batch, *self._waiting), StoreUnavailable("interrupted"))

    async def _gather(self) -> None:
        """Let the loop turn while it keeps bringing calls."""
        turns = quiet = 0
        while quiet < _QUIET and turns < _TURNS and (known := len(self._waiting)) < self._max_batch:
            await asyncio.sleep(0)
            turns += 1
            quiet = quiet + 1 if len(self._waiting) == known else 0

    def _take(self) -> Iterator[_Call]:
        for _ in range(min(len(self._waiting), self._max_batch)):
            yield self._waiting.popleft()

    async def _exchange(self, batch: list[_Call]) -> None:
        loop = asyncio.get_running_loop()
        sent = loop.time()
        until = max(batch[0].at + self._timeout, sent + self._timeout / 2)
        try:
            # The timer does not end the exchange but gives it a last moment: after a stall of this event loop the timer
            # is due together with the reply that had come in long before.
            async with asyncio.timeout(None) as scope:
                timer = loop.call_at(until, lambda: scope.reschedule(loop.time() + _GRACE))
                try:
                    await self._converse(batch, until)
                finally:
                    timer.cancel()
            self._record("answered", loop.time() - sent)
        except TimeoutError:
            self._record("late", loop.time() - sent)
            # Nobody who waits behind a store that does not answer should wait the full time for the same news.
            late = StoreTimedOut(f"the limit store did not answer within {self._timeout * 1000:g} ms")
            self._fail(batch, late)
            self._fail(self._waiting, late)
            await self._drop()
        except Exception as error:  # noqa: BLE001 - whatever it was, what still comes here would answer somebody else
            self._record("failed", loop.time() - sent)
            self._fail(batch, StoreUnavailable(f"the limit store failed: {error}"))
            await self._drop()

    async def _converse(self, batch: list[_Call], until: float) -> None:
        groups: dict[tuple[bytes, int], list[_Call]] = {}
        for call in batch:
            groups.setdefault((call.script.sha, call.group), []).append(call)
        unknown = await self._evaluate(groups.values(), until, load=False)
        for calls in await self._evaluate(unknown, until, load=True) if unknown else ():
            self._fail(calls, StoreUnavailable("the limit store forgot a script that it had just loaded"))

    async def _evaluate(self, groups: Collection[list[_Call]], until: float, *, load: bool) -> list[list[_Call]]:
        connection = self._connection or await self._connect()
        loop = asyncio.get_running_loop()
        if loop.time() - self._learnt > _FRESH:
            await self._learn(connection, loop.time())
        sent = loop.time()
        scripts = {calls[0].script for calls in groups} if load else ()
        packed = [_command(b"SCRIPT", b"LOAD", script.source) for script in scripts]
        packed += [_pack(calls, self._gives_up(calls[0], until)) for calls in groups]
        await connection.send_packed_command(packed, check_health=False)
        for _ in scripts:
            await connection.read_response()
        unknown = []
        refused = None
        for calls in groups:
            if calls[0].asking:
                await connection.read_response()  # refused, the answer to what follows is lost, and so the connection
            try:
                now, replies = await connection.read_response()
            except NoScriptError:
                unknown.append(calls)
            except (MovedError, AskError, TryAgainError, ClusterDownError) as elsewhere:
                self._fail(calls, Redirected(elsewhere))
            except ResponseError as error:
                refused = error
                self._fail(calls, StoreUnavailable(f"the limit store refused: {error}"))
            else:
                self._ahead = now - round(sent * 1e6)
                self._learnt = sent
                for call, reply in zip(calls, replies, strict=False):
                    if isinstance(reply, bytes) and _READ_ONLY in reply:
                        refused = ReadOnlyError("it is a replica, and takes no writes")
                        call.fail(StoreUnavailable(f"the limit store refused: {refused}"))
                    elif not call.future.done():
                        call.future.set_result(reply)
                self._fail(calls[len(replies) :], StoreTimedOut("the limit store got to it too late, and did nothing"))
        if refused is not None:
            raise refused  # READONLY, NOAUTH, OOM: the next connection may lead elsewhere
        return unknown

    def _gives_up(self, call: _Call, until: float) -> bytes:
        return b"" if call.now else str(round((until + _GRACE) * 1e6) + self._ahead).encode()

    async def _learn(self, connection: AbstractConnection, asked: float) -> None:
        await connection.send_packed_command([_command(b"TIME")], check_health=False)
        seconds, microseconds = await connection.read_response()
        self._ahead = int(seconds) * 1_000_000 + int(microseconds) - round(asked * 1e6)
        self._learnt = asked

    async def _connect(self) -> AbstractConnection:
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._open())
            self._connecting.add_done_callback(self._connected)
        await asyncio.shield(self._connecting)
        if self._connection is None:
            raise StoreUnavailable("not connected")
        return self._connection

    async def _open(self) -> None:
        connection = self._new_connection()
        await connection.connect()  # type: ignore[no-untyped-call]  # untyped in redis-py
        self._connection = connection

    def _connected(self, task: asyncio.Task[None]) -> None:
        self._connecting = None
        if not task.cancelled():
            task.exception()

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)

    @staticmethod
    def _fail(calls: Iterable[_Call], error: StoreUnavailable) -> None:
        for call in calls:
            call.fail(error)


def _pack(calls: list[_Call], gives_up: bytes) -> bytes:
    first = calls[0]
    keys = [key for call in calls for key in call.keys]
    args = [arg for call in calls for arg in call.args]
    packed = _command(b"EVALSHA", first.script.sha, str(len(keys)).encode(), *keys, first.now, gives_up, *args)
    return _command(b"ASKING") + packed if first.asking else packed


def _command(*parts: bytes) -> bytes:
    packed: bytes = hiredis.pack_command(parts)  # type: ignore[arg-type]  # it takes bytes too
    return packed
