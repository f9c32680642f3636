"""What runs ends with its credential, where the policy says so: who was revoked gets nothing more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Set
from functools import partial

from tidegate.envoy.exchange import Exchange
from tidegate.identity.standing import Why
from tidegate.model import Proof
from tidegate.recurring import Recurring

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
        self._running: set[Term] = set()
        look = partial(_look, self._running, over, on_error)
        self._looking = Recurring(
            look, name="credentials of what runs", interval=interval, on_error=on_error, sleep=sleep
        )

    def open(self, interrupt: Callable[[], None] = lambda: None) -> Term:
        """For one exchange. `interrupt` is called at each look from when it is over until it is closed."""
        return Term(self, interrupt)

    def _add(self, term: Term) -> None:
        self._running.add(term)
        self._looking.start()

    def _remove(self, term: Term) -> None:
        self._running.discard(term)
        if not self._running:
            self._looking.stop()


async def _look(running: Set[Term], over: Stands, on_error: Callable[[Exception], None]) -> None:
    for term in tuple(running):
        try:
            term.look(over)
        except Exception as failure:  # noqa: BLE001 - or nobody would look after the others
            on_error(failure)


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
