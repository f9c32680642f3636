"""One connection to a Redis, on which calls of scripts are asked and answered, many in one write.

All the calls of one script and `group` are one EVALSHA, whose reply has one element a call; a script that Redis does
not know is loaded and called again. NOSCRIPT means that nothing ran, so this repeats nothing. Nothing else is ever
repeated here: when a reply is lost, nobody can say whether the script ran.

A script is told when its callers give up, so a store that was frozen does not, when it thaws, do what nobody waits for
any more. That needs its clock: each reply brings it, and one that is older than `_FRESH` is asked for first.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

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

from tidegate.admission.scripts import Redirected, Script, StoreTimedOut
from tidegate.errors import StoreUnavailable

_CONNECT_TIMEOUT = 2.0
_FRESH = 10.0
_READ_ONLY = b"-READONLY "  # in what a script reports that failed by it


class Call:
    """A call of a script, made at `at` (loop time, seconds), and who waits for its element of the reply.

    Calls of different groups are not sent in one EVALSHA; all of a group are `asking` (for a slot that a cluster is
    just moving to this node), or none. `now`, for tests, is the time in microseconds, taken from the first of a group.
    """

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

    def answer(self, reply: Any) -> None:
        """Unless it has failed, or its caller has gone."""
        if not self.future.done():
            self.future.set_result(reply)

    def fail(self, error: StoreUnavailable) -> None:
        """Unless it is answered, or its caller has gone."""
        if not self.future.done():
            self.future.set_exception(error)


def fail_all(calls: Iterable[Call], error: StoreUnavailable) -> None:
    """Fail every one that has no answer yet."""
    for call in calls:
        call.fail(error)


class ScriptConnection:
    """The connection to the Redis at `url`, made when it is needed first, and anew after `drop`.

    One conversation at a time.
    """

    def __init__(self, url: str) -> None:
        pool = ConnectionPool.from_url(
            url,
            protocol=2,
            driver_info=None,
            socket_timeout=None,
            socket_connect_timeout=_CONNECT_TIMEOUT,
            retry=Retry(NoBackoff(), 0),
        )
        self._new_connection: Callable[[], AbstractConnection] = pool.make_connection
        self._connection: AbstractConnection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._ahead = 0  # the server's clock less this loop's, microseconds, as learnt at `_learnt` (loop time)
        self._learnt = -math.inf

    async def converse(self, calls: Iterable[Call], until: float) -> None:
        """Answer or fail each of `calls`, whose callers give up at `until` (loop time, seconds).

        Raises when not all were, or what comes next may lead nowhere: the connection then wants to be dropped. So it
        does when this is cancelled, because the next to ask would be given the answers that are still to come.
        """
        groups: dict[tuple[bytes, int], list[Call]] = {}
        for call in calls:
            groups.setdefault((call.script.sha, call.group), []).append(call)
        unknown = await self._evaluate(groups.values(), until, load=False)
        for forgotten in await self._evaluate(unknown, until, load=True) if unknown else ():
            fail_all(forgotten, StoreUnavailable("the limit store forgot a script that it had just loaded"))

    async def drop(self) -> None:
        """End what is there. A connection that is still being made goes on being made, for whoever asks next."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)

    async def close(self) -> None:
        """End what is there, and what is being made."""
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait([self._connecting])
        await self.drop()

    async def _evaluate(self, groups: Collection[list[Call]], until: float, *, load: bool) -> list[list[Call]]:
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
                fail_all(calls, Redirected(elsewhere))
            except ResponseError as error:
                refused = error
                fail_all(calls, StoreUnavailable(f"the limit store refused: {error}"))
            else:
                self._ahead = now - round(sent * 1e6)
                self._learnt = sent
                for call, reply in zip(calls, replies, strict=False):
                    if isinstance(reply, bytes) and _READ_ONLY in reply:
                        refused = ReadOnlyError("it is a replica, and takes no writes")
                        call.fail(StoreUnavailable(f"the limit store refused: {refused}"))
                    else:
                        call.answer(reply)
                fail_all(calls[len(replies) :], StoreTimedOut("the limit store got to it too late, and did nothing"))
        if refused is not None:
            raise refused  # READONLY, NOAUTH, OOM: the next connection may lead elsewhere
        return unknown

    def _gives_up(self, call: Call, until: float) -> bytes:
        return b"" if call.now else str(round(until * 1e6) + self._ahead).encode()

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


def _pack(calls: list[Call], gives_up: bytes) -> bytes:
    first = calls[0]
    keys = [key for call in calls for key in call.keys]
    args = [arg for call in calls for arg in call.args]
    packed = _command(b"EVALSHA", first.script.sha, str(len(keys)).encode(), *keys, first.now, gives_up, *args)
    return _command(b"ASKING") + packed if first.asking else packed


def _command(*parts: bytes) -> bytes:
    packed: bytes = hiredis.pack_command(parts)  # type: ignore[arg-type]  # it takes bytes too
    return packed
