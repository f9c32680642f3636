"""Used proofs in a Redis or a Redis Cluster, for all replicas.

    tgp|<digest in hexadecimal>   who used it first, a random value; gone when the proof is too old anyway

Each is a key of its own, so a cluster spreads them over its slots. A command that is repeated because its answer was
lost finds its own value, and is still the first.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Final, NamedTuple

from redis.exceptions import RedisError

from tidegate.errors import StoreUnavailable
from tidegate.identity.store import connect, naming_failures

_WHAT: Final = "the memory of used proofs"
_MAX_BATCH: Final = 128


class _Question(NamedTuple):
    name: str
    value: bytes
    milliseconds: int
    answer: asyncio.Future[bool]


class RedisReplays:
    """The used proofs in the Redis at `url`; one pipeline at a time, with what came while the last one was away.

    `timeout` is seconds.
    """

    def __init__(self, url: str, *, timeout: float = 1.0, prefix: str = "tgp") -> None:
        self._redis = connect(url, timeout)
        self._prefix = prefix
        self._timeout = timeout
        self._questions: list[_Question] = []
        self._asking: asyncio.Task[None] | None = None

    async def first(self, digest: bytes, seconds: float) -> bool:
        """See `Replays.first`."""
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        milliseconds = max(1000, round(seconds * 1000))
        name = f"{self._prefix}|{digest.hex()}"
        self._questions.append(_Question(name, secrets.token_bytes(12), milliseconds, answer))
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_all(), name="used proofs")
        return await answer

    async def close(self) -> None:
        """Close the connections; who still waits is told that nobody knows."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
        await self._redis.aclose()

    async def _ask_all(self) -> None:
        while self._questions:
            batch, self._questions = self._questions[:_MAX_BATCH], self._questions[_MAX_BATCH:]
            try:
                with naming_failures(_WHAT):
                    async with asyncio.timeout(self._timeout):
                        await self._ask(batch)
            except Exception as failure:  # noqa: BLE001 - whatever it is, those who wait must not be let in
                self._fail(batch, StoreUnavailable(f"{_WHAT}: {failure}"))
            except asyncio.CancelledError:
                self._fail([*batch, *self._questions], StoreUnavailable(_WHAT))
                self._questions = []
                raise

    async def _ask(self, batch: list[_Question]) -> None:
        async with self._redis.pipeline(transaction=False) as together:
            for question in batch:
                together.set(question.name, question.value, px=question.milliseconds, nx=True)
                together.get(question.name)
            replies = await together.execute(raise_on_error=False)
        for question, stands in zip(batch, replies[1::2], strict=True):
            if question.answer.done():  # whoever asked has left
                continue
            if isinstance(stands, bytes):
                question.answer.set_result(stands == question.value)
            else:
                kind = type(stands).__name__ if isinstance(stands, RedisError) else "no answer"
                question.answer.set_exception(StoreUnavailable(f"{_WHAT}: {kind}"))

    @staticmethod
    def _fail(batch: list[_Question], failure: StoreUnavailable) -> None:
        for question in batch:
            if not question.answer.done():
                question.answer.set_exception(failure)
