"""One exchange carried through for a caller that is not Envoy: the same state machine, one answer a message."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from functools import partial

from tidegate.api import tidegate_pb2 as pb
from tidegate.api import translate
from tidegate.envoy.aside import Aside, effort_of
from tidegate.envoy.commands import Command, Extend, RequestHead
from tidegate.envoy.exchange import Exchange
from tidegate.envoy.handoff import Handoff
from tidegate.envoy.keeping import Keeping
from tidegate.errors import ProtocolViolation
from tidegate.filtering.grounding import unpacked


class Conductor:
    """Carries exchanges through. However a stream ends, its exchange is settled and its place given back.

    `heartbeat` gives seconds after which a silent event stream may be kept alive, 0 for never: the peer does it, for
    each of its messages has one answer.
    """

    def __init__(
        self,
        *,
        exchange: Callable[[], Exchange],
        keeping: Keeping,
        heartbeat: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._exchange = exchange
        self._keeping = keeping
        self._heartbeat = heartbeat
        self._aside = Aside("exchange")

    async def conduct(self, messages: AsyncIterator[pb.ExchangeRequest]) -> AsyncGenerator[pb.ExchangeResponse, None]:
        """Answer each message. Raises `ProtocolViolation`."""
        exchange = self._exchange()
        kept = self._keeping.open(exchange)
        term, waits = kept.term, kept.waits
        held = 0  # bytes that came since something was last released
        try:
            async for message in messages:
                waits.came()
                held += len(message.body.data)
                step = _step(exchange, message)
                commands = exchange.over(term.why) if term.why else []
                commands = commands or await self._aside.run(step, effort_of(exchange.effort, held))
                kept.follow()
                answer = pb.ExchangeResponse()
                while commands and isinstance(commands[-1], Extend):
                    translate.add_commands(answer, commands[:-1], exchange.handoff)
                    commands = await self._extended(exchange, commands[-1])
                translate.add_commands(answer, commands, exchange.handoff)
                held = 0 if answer.body else held
                if exchange.finished:
                    answer.outcome, answer.coverage = exchange.outcome, exchange.coverage().header()
                    kept.settle()
                exchange.sent += len(answer.body)
                waits.left(exchange.progress)
                if (every := self._heartbeat()) and (beat := exchange.beat):
                    answer.keep_alive.after_seconds, answer.keep_alive.data = every, beat
                yield answer
                if exchange.finished:
                    return
            raise ProtocolViolation("the stream closed before the response was over")
        finally:
            kept.close()

    async def _extended(self, exchange: Exchange, extend: Extend) -> list[Command]:
        step = partial(exchange.extended, await self._keeping.extend(extend))
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
