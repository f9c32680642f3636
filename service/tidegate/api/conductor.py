"""One exchange carried through for a caller that is not Envoy: the same state machine, one answer a message."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from functools import partial
from typing import TYPE_CHECKING

from tidegate.api import tidegate_pb2 as pb
from tidegate.api import translate
from tidegate.envoy.aside import Aside, effort_of
from tidegate.envoy.commands import Command, Extend, RequestHead
from tidegate.envoy.exchange import Exchange
from tidegate.envoy.handoff import Handoff
from tidegate.envoy.hold_back import HoldBack, unmeasured
from tidegate.envoy.holds import Holds
from tidegate.envoy.places import Places
from tidegate.envoy.running import Running
from tidegate.envoy.settle import Settlements
from tidegate.envoy.terms import Terms
from tidegate.errors import ProtocolViolation
from tidegate.filtering.grounding import unpacked

if TYPE_CHECKING:
    from tidegate.tracing import Traces


class Conductor:
    """Carries exchanges through. However a stream ends, its exchange is settled and its place given back.

    `record` is told of each exchange that ended, and its request's id; `live` that one more runs (+1), or one less.
    `heartbeat` gives seconds after which a silent event stream may be kept alive, 0 for never: the peer does it, for
    each of its messages has one answer. `traces` are told of each exchange that ended.
    """

    def __init__(
        self,
        *,
        exchange: Callable[[], Exchange],
        settlements: Settlements,
        holds: Holds,
        places: Places,
        record: Callable[[Exchange, str], None] = lambda _exchange, _id: None,
        live: Callable[[int], None] = lambda _change: None,
        terms: Terms | None = None,
        hold_back: Callable[[], HoldBack] = unmeasured,
        heartbeat: Callable[[], float] = lambda: 0.0,
        traces: Traces | None = None,
    ) -> None:
        self._exchange = exchange
        self._settlements = settlements
        self._holds = holds
        self._places = places
        self._record = record
        self._running = Running(live)
        self._terms = terms or Terms(lambda *_: "", on_error=lambda _: None)
        self._hold_back = hold_back
        self._heartbeat = heartbeat
        self._traces = traces
        self._aside = Aside("exchange")

    async def conduct(self, messages: AsyncIterator[pb.ExchangeRequest]) -> AsyncGenerator[pb.ExchangeResponse, None]:
        """Answer each message. Raises `ProtocolViolation`."""
        exchange, tenure, term = self._exchange(), self._places.open(), self._terms.open()
        waits = self._hold_back()
        renewal: asyncio.Task[None] | None = None
        started = 0.0 if self._traces is None else self._traces.now()
        held = 0  # bytes that came since something was last released
        self._running.begin()
        try:
            async for message in messages:
                waits.came()
                held += len(message.body.data)
                step = _step(exchange, message)
                commands = exchange.over(term.why) if term.why else []
                commands = commands or await self._aside.run(step, effort_of(exchange.effort, held))
                term.follow(exchange)
                tenure.follow(exchange)
                renewal = renewal or self._holds.follow(exchange)
                answer = pb.ExchangeResponse()
                while commands and isinstance(commands[-1], Extend):
                    translate.add_commands(answer, commands[:-1], exchange.handoff)
                    commands = await self._extended(exchange, commands[-1])
                translate.add_commands(answer, commands, exchange.handoff)
                held = 0 if answer.body else held
                if exchange.finished:  # before the last bytes leave: a client that has them finds its limits settled
                    answer.outcome, answer.coverage = exchange.outcome, exchange.coverage().header()
                    self._settlements.follow(exchange)
                    tenure.follow(exchange)
                exchange.sent += len(answer.body)
                waits.left(exchange.progress)
                if (every := self._heartbeat()) and (beat := exchange.beat):
                    answer.keep_alive.after_seconds, answer.keep_alive.data = every, beat
                yield answer
                if exchange.finished:
                    return
            raise ProtocolViolation("the stream closed before the response was over")
        finally:
            term.close()
            if renewal is not None:
                renewal.cancel()
            exchange.lost()
            self._settlements.follow(exchange)
            tenure.follow(exchange)
            self._running.end()
            waits.over()
            self._record(exchange, exchange.handoff.request_id if exchange.handoff else "")
            if self._traces is not None:
                self._traces.processed(exchange, started)

    async def drained(self, timeout: float = 1.0) -> None:
        """Wait for exchanges that were told to stop (at most `timeout` seconds), then for all that they left to do."""
        await self._running.idle(timeout)
        await self._settlements.drained()
        await self._places.drained()

    async def _extended(self, exchange: Exchange, extend: Extend) -> list[Command]:
        answer = await self._holds.extend(extend.reservation, extend.costs, extend.hold)
        step = partial(exchange.extended, answer)
        return await self._aside.run(step, effort_of(exchange.effort, exchange.waiting))


def _step(exchange: Exchange, message: pb.ExchangeRequest) -> Callable[[], list[Command]]:
    match message.WhichOneof("message"):
        case "open" if exchange.handoff is None:
            decision, _, references = message.open.handoff.partition("\n")
            handoff = Handoff.decode(decision)
            try:
                exchange.vouch(unpacked(references))
            except ValueError:
                raise ProtocolViolation("what Decide handed over is not readable") from None
            return partial(exchange.request, RequestHead("", "", "", body=False, handoff=handoff))
        case "head" if exchange.handoff is not None:
            return partial(exchange.head, translate.response_head_of(message.head))
        case "body" if exchange.handoff is not None:
            return partial(exchange.body, message.body.data, message.body.end)
        case other:
            raise ProtocolViolation(f"'{other}' is not expected here: send open, then head, then body")
