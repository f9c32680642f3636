"""The audit log of one process: what happens is noted at once, and written together, beside the exchanges.

While the sink fails, what is noted waits, and the same records are tried again each second. What there is no room for
is counted, and the chain says how many are missing and where. A process that is killed loses what it noted in its last
50 ms; an exchange never waits for its record.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from tidegate import __version__
from tidegate.audit.chain import Chain, Head, Kind, Sealed, algorithm
from tidegate.audit.records import (
    Answered,
    Decided,
    Names,
    Revealed,
    answered,
    decided,
    decision_fields,
    response_fields,
    reveal_fields,
)
from tidegate.audit.sink import Sink
from tidegate.clock import Clock
from tidegate.envoy.exchange import Exchange
from tidegate.errors import AuditSetBack, AuditUnavailable
from tidegate.filtering.formats import Coverage
from tidegate.model import Decision, Deny, Reason
from tidegate.policy.compiled import Policy
from tidegate.revealing import Asked

_BATCH: Final = 0.05
_RETRY: Final = 1.0
_MOST: Final = 512  # records sealed at once, a few milliseconds
MAX_WAITING: Final = 20_000


Entry = Decided | Answered | Revealed


class Observer(Protocol):
    """Is told how the log fares."""

    def audit_written(self, records: int) -> None:
        """Records were kept."""

    def audit_lost(self, records: int) -> None:
        """Records were given up."""

    def audit_state(self, available: bool, why: str) -> None:
        """The sink failed, or keeps records again."""

    def audit_head(self, writer: str, head: Head, why: str) -> None:
        """Where the chain ended when a file was begun, or the process stopped."""


class AuditLog:
    """Notes decisions and responses, and writes them. `key` keys the chain, b"" for plain hashes."""

    def __init__(
        self,
        sink: Sink,
        *,
        writer: str,
        key: bytes,
        policy: Callable[[], Policy],
        clock: Clock,
        observer: Observer,
        on_error: Callable[[Exception], None],
        max_waiting: int = MAX_WAITING,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._sink = sink
        self._writer = writer
        self._key = key
        self._policy = policy
        self._clock = clock
        self._observer = observer
        self._on_error = on_error
        self._max_waiting = max_waiting
        self._sleep = sleep
        self._waiting: list[Entry] = []
        self._sealed: list[Sealed] = []
        self._of_sealed: tuple[list[Entry], int] = ([], 0)
        self._unmade: list[Entry] = []  # calls for a value, of which no record could be made
        self._chain: Chain | None = None
        self._torn = 0
        self._begins = True
        self._lost = 0
        self._failing: bool | None = None
        self._names: Names | None = None
        self._closing = False
        self._turn = asyncio.Lock()
        self._flushing: set[asyncio.Task[bool]] = set()
        self._wake = asyncio.Event()
        self._writing: asyncio.Task[None] | None = None

    @property
    def available(self) -> bool:
        """Whether what is noted now will be kept."""
        return self._failing is False and len(self._waiting) < self._max_waiting

    async def start(self) -> None:
        """Open the sink and begin to write. A sink that fails is tried again; until then nothing is available."""
        await self.flush()
        self._writing = asyncio.create_task(self._write())

    async def close(self) -> None:
        """Write what waits and say that the chain ends here; what cannot be written now is lost."""
        if self._writing is not None:
            self._closing = True
            self._wake.set()
            await self._writing
        while await self.flush() and (self._waiting or self._lost):
            pass
        if self._chain is not None and not self._failing:
            self._sealed, self._of_sealed = [self._chain.seal(self._clock.now(), "close", {})], ([], 0)
            if await self.flush():
                self._observer.audit_head(self._writer, self._chain.head, "stop")
        self._observer.audit_lost(len(self._waiting) + len(self._sealed))
        await self._sink.close()

    def decision(self, decision: Decision) -> None:
        """Note a decision. Refusals for want of this log are only counted."""
        verdict = decision.verdict
        if isinstance(verdict, Deny) and verdict.reason is Reason.AUDIT_UNAVAILABLE:
            self._lose(1)
        else:
            self._note(decided(self._clock.now(), decision))

    def response(self, exchange: Exchange, request_id: str, coverage: Coverage) -> None:
        """Note a response that is over."""
        self._note(answered(self._clock.now(), exchange, request_id, coverage))

    async def keep(self, asked: Asked) -> bool:
        """Note a call to turn a pseudonym back, and write it; whether it is kept. Nothing is told before that."""
        if not self.available:
            self._lose(1)
            return False
        entry = Revealed(self._clock.now(), asked)
        self._note(entry)
        while self._sealed or any(waiting is entry for waiting in self._waiting):
            if not await self.flush():
                return False
        for at, unmade in enumerate(self._unmade):
            if unmade is entry:
                del self._unmade[at]
                return False
        return True

    async def flush(self) -> bool:
        """Write what waits, at most a few hundred records; whether that went well.

        Once begun it goes to its end, whoever waits for it: half done, the chain would have two ends.
        """
        flushing = asyncio.create_task(self._flush_in_turn())
        self._flushing.add(flushing)
        flushing.add_done_callback(self._flushing.discard)
        return await asyncio.shield(flushing)

    async def _flush_in_turn(self) -> bool:
        async with self._turn:
            try:
                await self._flush()
            except AuditUnavailable as failure:
                self._fails(str(failure))
                return False
            except Exception as failure:  # noqa: BLE001 - whatever it is, there is no log
                self._on_error(failure)
                self._fails(type(failure).__name__)
                return False
            return True

    async def _flush(self) -> None:
        if self._chain is None:
            head, self._torn = await self._sink.open()
            self._chain = Chain(self._writer, self._key, head)
        if not self._sealed:
            batch, lost = self._waiting[:_MOST], self._lost
            self._sealed = await asyncio.to_thread(self._seal, self._chain, batch, lost)
            self._of_sealed = batch, lost
            del self._waiting[: len(batch)]
            self._lost -= lost
        if not self._sealed:
            return
        try:
            await self._sink.append(self._sealed)
        except AuditSetBack as back:
            self._go_on_from(Head(back.seq, back.hash), self._chain)
            await self._flush()
        else:
            self._kept()

    def _go_on_from(self, head: Head, chain: Chain) -> None:
        """What was kept behind `head` is gone: that is put on record there, and then what was to be written."""
        (batch, lost), sealed = self._of_sealed, self._sealed
        self._sealed, self._of_sealed = [], ([], 0)
        self._begins = self._begins or sealed[0].opens
        self._waiting[:0] = batch
        self._lost += lost
        self._lose(sealed[0].before.seq - head.seq)
        chain.head = head

    async def _write(self) -> None:
        while not self._closing:
            await self._wake.wait()
            await self._sleep(_RETRY if self._failing else _BATCH)
            self._wake.clear()
            if not await self.flush() or self._waiting or self._lost:
                self._wake.set()

    def _kept(self) -> None:
        records, self._sealed, self._of_sealed = self._sealed, [], ([], 0)
        self._observer.audit_written(len(records))
        if records[0].opens:
            self._observer.audit_head(self._writer, records[0].head, "begin")
        if self._failing is not False:
            self._observer.audit_state(True, "")
        self._failing = False

    def _fails(self, why: str) -> None:
        if not self._failing:
            self._observer.audit_state(False, why)
        self._failing = True
        self._wake.set()

    def _note(self, entry: Entry) -> None:
        if len(self._waiting) >= self._max_waiting:
            self._lose(1)
            return
        self._waiting.append(entry)
        if len(self._waiting) == 1:
            self._wake.set()

    def _lose(self, count: int) -> None:
        self._lost += count
        self._observer.audit_lost(count)
        self._wake.set()

    def _seal(self, chain: Chain, batch: list[Entry], lost: int) -> list[Sealed]:
        now = self._clock.now()
        policy = self._policy()
        names = self._names
        if names is None or names.policy is not policy:
            names = self._names = Names(policy, self._key)
        sealed = []
        if self._begins or self._sink.full(now):
            sealed.append(chain.seal(now, "open", self._opening()))
            self._begins = False
        if lost:
            sealed.append(chain.seal(now, "gap", {"lost": lost}))
        broken = 0
        for entry in batch:
            try:
                sealed.append(chain.seal(entry.at, *_fields(entry, names)))
            except Exception as failure:  # noqa: BLE001 - one record that cannot be written must not stop all others
                self._on_error(failure)
                broken += 1
                if isinstance(entry, Revealed):
                    self._unmade.append(entry)
        if broken:
            sealed.append(chain.seal(now, "gap", {"lost": broken}))
        return sealed

    def _opening(self) -> dict[str, Any]:
        fields = {
            "algorithm": algorithm(self._key),
            "why": "start" if self._begins else "rotation",
            "torn": self._torn,
            "tidegate": __version__,
        }
        self._torn = 0
        return fields


def _fields(entry: Entry, names: Names) -> tuple[Kind, dict[str, Any]]:
    match entry:
        case Decided():
            return "decision", decision_fields(entry, names)
        case Answered():
            return "response", response_fields(entry, names)
        case Revealed():
            return "reveal", reveal_fields(entry, names)
