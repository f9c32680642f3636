"""A text that is rewritten while it arrives: an iterator that knows, at its end, what was found."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Generator, Iterable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, Self

from google.protobuf.message import Message

from tidegate_client import messages
from tidegate_client import tidegate_pb2 as pb
from tidegate_client.results import Coverage, Finding

# One message of a stream, and its one answer.
Ask = Callable[[Message], Any]
AsyncAsk = Callable[[Message], Awaitable[Any]]


class _Outcome:
    """What a stream has said of itself so far.

    `complete` is true once the last answer was read; until then `findings` is empty, and `blocked` and `coverage`, the
    receipt, are None. A blocked stream ends early: what came out before stands, the rest is withheld.
    """

    def __init__(self) -> None:
        self.complete = False
        self.findings: tuple[Finding, ...] = ()
        self.blocked: Finding | None = None
        self.coverage: Coverage | None = None

    def _take(self, answer: pb.FilterStreamResponse) -> str:
        if answer.HasField("done"):
            self.complete = True
            self.findings = tuple(map(messages.finding_of, answer.done.findings))
            if answer.done.HasField("coverage"):  # an older service tells none
                self.coverage = messages.coverage_of(answer.done.coverage)
            if answer.done.HasField("blocked"):
                self.blocked = messages.finding_of(answer.done.blocked)
        return answer.text


class FilteredText(_Outcome):
    """Iterator over the rewritten text. Use it once; `close` it when it is left before its end."""

    def __init__(
        self,
        open_stream: Callable[[], AbstractContextManager[Ask]],
        chunks: Iterable[str],
    ) -> None:
        super().__init__()
        self._texts = self._rewrite(open_stream, chunks)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        return next(self._texts)

    def close(self) -> None:
        """End the stream; what is still held back is never seen."""
        self._texts.close()

    def _rewrite(
        self,
        open_stream: Callable[[], AbstractContextManager[Ask]],
        chunks: Iterable[str],
    ) -> Generator[str, None, None]:
        with open_stream() as ask:
            for chunk in chunks:
                for message in messages.texts_of(chunk):
                    if text := self._take(ask(message)):
                        yield text
                    if self.complete:
                        return
            if text := self._take(ask(messages.END)):
                yield text


class AsyncFilteredText(_Outcome):
    """`FilteredText`, awaited."""

    def __init__(
        self,
        open_stream: Callable[[], AbstractAsyncContextManager[AsyncAsk]],
        chunks: AsyncIterable[str] | Iterable[str],
    ) -> None:
        super().__init__()
        self._texts = self._rewrite(open_stream, chunks)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        return await anext(self._texts)

    async def aclose(self) -> None:
        """End the stream; what is still held back is never seen."""
        await self._texts.aclose()

    async def _rewrite(
        self,
        open_stream: Callable[[], AbstractAsyncContextManager[AsyncAsk]],
        chunks: AsyncIterable[str] | Iterable[str],
    ) -> AsyncGenerator[str, None]:
        async with open_stream() as ask:
            async for chunk in _iterate(chunks):
                for message in messages.texts_of(chunk):
                    if text := self._take(await ask(message)):
                        yield text
                    if self.complete:
                        return
            if text := self._take(await ask(messages.END)):
                yield text


async def _iterate(chunks: AsyncIterable[str] | Iterable[str]) -> AsyncIterator[str]:
    if isinstance(chunks, AsyncIterable):
        async for chunk in chunks:
            yield chunk
    else:
        for chunk in chunks:
            yield chunk
