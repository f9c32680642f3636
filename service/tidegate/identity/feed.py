"""Keeps what one process knows as it is in a store: asked for again and again, and relied on for a while without it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, Literal, Protocol, TypeVar

from tidegate.clock import Clock
from tidegate.errors import StoreUnavailable
from tidegate.recurring import Recurring

T = TypeVar("T")
News = TypeVar("News", covariant=True)
State = Literal["current", "old", "none"]


class Source(Protocol[News]):
    """What a feed follows, and what is made of the answers of its store."""

    async def changed(self) -> News | None:
        """What is to be known from now on; None where that is what was known before. Raises StoreUnavailable."""
        ...

    def unknown(self) -> News:
        """What is known as long as nobody can tell; the next answer begins anew."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


class Feed(Generic[T]):
    """What `source` tells, in this process: at most `interval` seconds old while its store answers.

    `adopt` is handed everything new. While the store does not answer, what is known is good for `max_age` seconds;
    after that, and before the first answer, it is the source's `unknown`. `wanted` says whether to ask at all.
    `on_state` is told of changes, `on_error` of what should not happen: that, too, is no answer. `name` is for people.
    """

    def __init__(
        self,
        source: Source[T],
        *,
        name: str,
        clock: Clock,
        adopt: Callable[[T], None],
        wanted: Callable[[], bool] = lambda: True,
        on_state: Callable[[State], None] = lambda _: None,
        on_error: Callable[[Exception], None] = lambda _: None,
        interval: float = 0.5,
        max_age: float = 3600.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._source = source
        self._clock = clock
        self._adopt = adopt
        self._wanted = wanted
        self._on_state = on_state
        self._on_error = on_error
        self._max_age = max_age
        self._answered = float("-inf")
        self._lost = True
        self._state: State | None = None
        self._asking = Recurring(self._ask, name=name, interval=interval, on_error=on_error, sleep=sleep)
        self.known = source.unknown()

    async def refresh(self) -> None:
        """Ask once."""
        try:
            news = await self._source.changed()
        except StoreUnavailable:
            self._age()
            return
        except Exception as failure:  # noqa: BLE001 - or nobody would ask again, and nothing could be revoked
            self._on_error(failure)
            self._age()
            return
        self._answered = self._clock.monotonic()
        self._lost = False
        if news is not None:
            self._take(news)
        self._tell("current")

    def start(self) -> None:
        """Keep asking in the background, on the running loop."""
        self._asking.start()

    async def close(self) -> None:
        """Stop, and close the source."""
        await self._asking.close()
        await self._source.close()

    async def _ask(self) -> None:
        if self._wanted():
            await self.refresh()
        elif not self._lost:  # whoever wants it again must not get what nobody has looked after meanwhile
            self._forget()

    def _age(self) -> None:
        old = self._clock.monotonic() - self._answered <= self._max_age
        if not old and not self._lost:
            self._forget()
        self._tell("old" if old else "none")

    def _forget(self) -> None:
        self._lost, self._answered = True, float("-inf")
        self._take(self._source.unknown())

    def _take(self, news: T) -> None:
        self.known = news
        self._adopt(news)

    def _tell(self, state: State) -> None:
        if state != self._state:
            self._state = state
            self._on_state(state)
