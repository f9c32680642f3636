"""What runs ends with its credential, where the policy says so: who was revoked gets nothing more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tidegate.envoy.exchange import Exchange
from tidegate.identity.standing import Why
from tidegate.model import Proof

Stands = Callable[[Proof, str, str], Why]


class Terms:
    """Looks after the running exchanges of a process that hang on a credential, `interval` seconds apart.

    `over` says of (proof, subject, tenant) why what hangs on it must end, "" for not at all. `on_error` is told of what
    should not happen; the next look comes all the same. Nothing runs while there is nobody to look after.
    """

    def __init__(
        self,
        over: Stands,
        *,
        on_error: Callable[[Exception], None],
        interval: float = 0.25,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._over = over
        self._on_error = on_error
        self._interval = interval
        self._sleep = sleep
        self._running: set[Term] = set()
        self._task: asyncio.Task[None] | None = None

    def open(self, interrupt: Callable[[], None] = lambda: None) -> Term:
        """For one exchange. `interrupt` is called at each look from when it is over until it is closed."""
        return Term(self, interrupt)

    def look(self) -> None:
        """Once at each."""
        for term in tuple(self._running):
            try:
                term.look(self._over)
            except Exception as failure:  # noqa: BLE001 - or nobody would look after the others
                self._on_error(failure)

    def _add(self, term: Term) -> None:
        self._running.add(term)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._watch(), name="credentials of what runs")

    def _remove(self, term: Term) -> None:
        self._running.discard(term)
        if not self._running and self._task is not None:
            self._task.cancel()
            self._task = None

    async def _watch(self) -> None:
        while True:
            await self._sleep(self._interval)
            self.look()


def _nothing() -> None:
    pass


class Term:
    """One exchange's. `why` it has to end, "" while it may go on. Call `follow` after every step."""

    __slots__ = ("_caller", "_interrupt", "_terms", "why")

    def __init__(self, terms: Terms, interrupt: Callable[[], None]) -> None:
        self.why: Why = ""
        self._terms = terms
        self._interrupt = interrupt
        self._caller: tuple[Proof, str, str] | None = None

    def follow(self, exchange: Exchange) -> None:
        """Look after the exchange from when it is known until it is finished."""
        handoff = exchange.handoff
        if self._caller is None:
            if handoff is None or handoff.proof is None or exchange.finished:
                return
            self._caller = handoff.proof, handoff.subject, handoff.tenant
            self._terms._add(self)
        elif exchange.finished:
            self.close()

    def close(self) -> None:
        """The exchange is over, whichever way."""
        self._interrupt = _nothing  # what it would end has this term: so neither waits for the collector
        if self._caller is not None:
            self._terms._remove(self)

    def look(self, over: Stands) -> None:
        """Ask, and interrupt where it is over."""
        if self._caller is None:
            return
        self.why = self.why or over(*self._caller)
        if self.why:
            self._interrupt()
