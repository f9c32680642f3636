"""Mixed traffic from one process: callers of each kind, each of whom asks again when it was answered.

    traffic = Traffic(port, keys)
    tally = await traffic.run(mix(streams=500), seconds=60)

Every answer is judged against what the model said (`tally.judge`). Nothing is cut off at the end: what runs when the
time is over is read to its end, so that what clients saw can be compared with what the model and the ledger counted.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from tidegate.clock import Clock, SystemClock

from tests.load.connection import Connection
from tests.load.kinds import KINDS, Kind
from tests.load.tally import Leak, Seen, Tally, judge

HOST = "models.example.com"
_LEAVES_AFTER = 2000  # bytes of a body: a few events
_BACKS_OFF = 0.5  # seconds after an outcome that is not right
_HELD = ("chat-stream", "messages-stream", "generate-stream")


class Callers(NamedTuple):
    """`count` callers of a kind, each of whom waits `pause` seconds before it asks again."""

    kind: Kind
    count: int
    pause: float = 0.0


def mix(*, streams: int, gap: float = 1.0, others: float = 1.0) -> tuple[Callers, ...]:
    """All kinds: so many streams held open all the time, and beside them some twenty requests a second times `others`.

    Four in ten streams are OpenAI's, three Anthropic's, three Ollama's: some 35 events, `gap` seconds apart.
    """
    held = dict(zip(_HELD, (streams - 2 * (streams * 3 // 10), *[streams * 3 // 10] * 2), strict=True))
    rates = {"chat": 10.0, "large": 0.3, "leaver": 1.0, "reset": 1.0, "over": 2.0}
    rates |= {"no-key": 1.0, "wrong-key": 2.0, "revoked-key": 1.0, "no-role": 1.0, "no-model": 1.0}
    beside = (Callers(KINDS[name], 2, 2 / (rate * others)) for name, rate in rates.items())
    holding = (Callers(replace(KINDS[name], gap=gap), count) for name, count in held.items() if count)
    return (*holding, *beside)


class Traffic:
    """Traffic to the Envoy on a loopback port. `keys` are API keys by caller; a caller without one sends none.

    `patience` is seconds that a client waits for anything to come, `ramp` seconds over which callers begin.
    """

    def __init__(
        self,
        port: int,
        keys: Mapping[str, str],
        *,
        clock: Clock | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        patience: float = 30.0,
        ramp: float = 5.0,
        first_seed: int = 1,
    ) -> None:
        self._port = port
        self._keys = keys
        self._clock = clock or SystemClock()
        self._sleep = sleep
        self._patience = patience
        self._ramp = ramp
        self._seeds = itertools.count(first_seed)
        self._outcomes: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._received: Counter[str] = Counter()
        self._leaks: list[Leak] = []
        self._open = 0
        self._least: int | None = None
        self._most = 0
        self._ends = asyncio.Event()

    @property
    def tally(self) -> Tally:
        """What came of it so far."""
        outcomes = {kind: dict(counts) for kind, counts in self._outcomes.items()}
        return Tally(outcomes, dict(self._received), tuple(self._leaks), (self._least or 0, self._most))

    @property
    def open(self) -> int:
        """Streams that are open now."""
        return self._open

    def stop(self) -> None:
        """Begin nothing new."""
        self._ends.set()

    async def run(
        self, callers: Sequence[Callers], *, seconds: float | None = None, requests: int | None = None
    ) -> Tally:
        """Run until `stop`, for so long or for so many exchanges; returns when the last of them is over."""
        left = iter(itertools.count() if requests is None else range(requests))
        everyone = [one for group in callers for one in itertools.repeat(group, group.count)]
        watching = asyncio.create_task(self._watch(seconds))
        try:
            async with asyncio.TaskGroup() as tasks:
                for place, group in enumerate(everyone):
                    delay = self._ramp * place / len(everyone)
                    tasks.create_task(self._caller(group, delay, left))
        finally:
            watching.cancel()
        return self.tally

    async def _caller(self, group: Callers, delay: float, left: Iterator[int]) -> None:
        connection = Connection(self._port)
        await self._wait(delay)
        try:
            while not self._ends.is_set():
                if next(left, None) is None:
                    self._ends.set()
                    return
                seen = await self._exchange(group.kind, connection)
                self._count(seen)
                pause = group.pause if seen.outcome in group.kind.right else max(group.pause, _BACKS_OFF)
                if pause:
                    await self._wait(pause)
        finally:
            await connection.close()

    async def _exchange(self, kind: Kind, connection: Connection) -> Seen:
        seed = next(self._seeds)
        request = kind.request(HOST, self._keys.get(kind.caller, ""), seed)
        held = 0

        def begun() -> None:
            nonlocal held
            held = int(kind.streams)
            self._open += held
            self._most = max(self._most, self._open)

        try:
            response = await connection.exchange(
                request,
                patience=self._patience,
                begun=begun,
                leave_after=_LEAVES_AFTER if kind.ending == "client leaves" else 0,
            )
        finally:
            self._open -= held
        return judge(kind, seed, response)

    def _count(self, seen: Seen) -> None:
        self._outcomes[seen.kind][seen.outcome] += 1
        self._received[seen.kind] += seen.received
        self._leaks += seen.leaks

    async def _wait(self, seconds: float) -> None:
        """Sleep, but not past the end."""
        if self._ends.is_set():
            return
        sleeping = asyncio.ensure_future(self._sleep(seconds))
        ending = asyncio.ensure_future(self._ends.wait())
        await asyncio.wait((sleeping, ending), return_when=asyncio.FIRST_COMPLETED)
        for task in (sleeping, ending):
            task.cancel()

    async def _watch(self, seconds: float | None) -> None:
        """End it when its time is over, and look twice a second how many streams are held."""
        began = self._clock.monotonic()
        while not self._ends.is_set():
            passed = self._clock.monotonic() - began
            if seconds is not None and passed >= seconds:
                self._ends.set()
                return
            if passed > 2 * self._ramp:
                self._least = self._open if self._least is None else min(self._least, self._open)
            await self._sleep(0.5 if seconds is None else min(0.5, max(0.0, seconds - passed)))
