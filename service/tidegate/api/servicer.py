"""tidegate.v1.PolicyService: the same pipeline, ledger and filters that Envoy gets, for Python callers.

The methods named like the RPCs take and give messages and know no transport, so an in-process engine calls them as
they are; `handlers` puts them on a grpc.aio server.
"""

from __future__ import annotations

import asyncio
import logging
import math
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import grpc

from tidegate.admission.charges import charges_for
from tidegate.admission.ledger import Ledger
from tidegate.admission.queue.fair_queue import Queue
from tidegate.api import calls, translate
from tidegate.api import tidegate_pb2 as pb
from tidegate.api.calls import NO_METADATA, Calls, Metadata
from tidegate.api.conductor import Conductor
from tidegate.api.faults import InvalidCall
from tidegate.api.lookup import Plans, attributes_of, limits_of, rulesets_of
from tidegate.clock import Clock, SystemClock
from tidegate.context_token import ContextTokens
from tidegate.envoy.aside import Aside, effort_of
from tidegate.errors import ProtocolViolation, StoreUnavailable, UnsupportedBody
from tidegate.filtering.formats import BodyRewriter, Coverage, open_body
from tidegate.filtering.grounding import known_of, packed
from tidegate.filtering.sealed import MAX_PSEUDONYM
from tidegate.filtering.spotting import Effort
from tidegate.filtering.structure.opening import structured
from tidegate.hash_key import keyed
from tidegate.model import UNITS, Allow, Decision, Deny, Request
from tidegate.outward import dialect_of
from tidegate.pipeline import Pipeline
from tidegate.policy.compiled import Policy
from tidegate.revealing import Revealer

if TYPE_CHECKING:
    from tidegate.tracing import Traces

SERVICE = "tidegate.v1.PolicyService"

_MAX_HOLD = 86_400.0
_MAX_REASON = 500
_SAME = frozenset(UNITS) - {"money"}  # what one number may stand for; a request is no millionth of a dollar
_SLICE = 64 * 1024  # bytes fed at once, so that one large text does not stop the event loop for all others


class _Opened(NamedTuple):
    """A text that is being rewritten, and what it takes; `demanded` says that its endpoint demands a structure."""

    body: BodyRewriter
    effort: Effort
    demanded: bool = False

    def coverage(self) -> Coverage:
        """The receipt so far."""
        told = self.body.coverage()
        return replace(told, structure=told.structure or "unchecked") if self.demanded else told


class ApiServicer:
    """Answers our own API.

    `queue` is the pipeline's. Without a `conductor` no exchanges are carried through, without a `revealer` nothing is
    revealed. `credential_headers` are those that may carry a credential under a policy. `hash_key` keys the hash
    action. With `shadow` no rule changes a text. `max_text` is the largest text that is held whole, bytes. `record`
    gets every decision and the seconds it took; `on_error` every failure whose cause the caller is not told. `traces`
    are told of calls, which are below the span that their metadata names; a decision else below the judged request's.
    """

    def __init__(
        self,
        *,
        pipeline: Pipeline,
        policy: Callable[[], Policy],
        ledger: Ledger,
        queue: Queue | None = None,
        revealer: Revealer | None = None,
        conductor: Conductor | None = None,
        credential_headers: Callable[[Policy], tuple[str, ...]] = lambda _policy: (),
        hash_key: bytes = b"",
        shadow: bool = False,
        max_text: int = 4 * 1024 * 1024,
        record: Callable[[Decision, float], None] | None = None,
        on_error: Callable[[Exception], None] | None = None,
        clock: Clock | None = None,
        context_tokens: ContextTokens | None = None,
        traces: Traces | None = None,
    ) -> None:
        self._pipeline = pipeline
        self._policy = policy
        self._ledger = ledger
        self._queue = queue
        self._revealer = revealer
        self._conductor = conductor
        self._credential_headers = credential_headers
        self._hash_key = hash_key
        self._max_text = max_text
        self._record = record
        self._on_error = on_error or _log
        self._clock = clock or SystemClock()
        self._context_tokens = context_tokens or ContextTokens(clock=self._clock)
        self._traces = traces
        self._shadow = shadow
        self._plans = Plans(shadow=shadow)
        self._aside = Aside("texts")

    async def decide(self, message: pb.DecideRequest, metadata: Metadata = NO_METADATA) -> pb.DecideResponse:
        """Judge one request. Refusals, malformed requests among them, are answers. `metadata` is that of the call."""
        started = self._clock.monotonic()
        exchange = message.exchange and self._conductor is not None
        policy = self._policy()
        request_id = message.request_id or uuid.uuid4().hex
        request = translate.request_of(message, request_id)
        if isinstance(request, Deny):
            blank = Request(request_id, "", "", "")
            decision = Decision(blank, request, policy.version, dialect=dialect_of(message.path))
        else:
            decision = await self._pipeline.decide(request)
        if self._record is not None:
            self._record(decision, self._clock.monotonic() - started)
        trace = "" if self._traces is None else self._traces.checked(decision, metadata, started)
        if isinstance(decision.verdict, Allow) and not exchange:
            await self._leave(decision.verdict)
        credential_headers = self._credential_headers(policy)
        token = ""
        if isinstance(decision.verdict, Allow):
            token = self._context_tokens.token_for(policy, decision.verdict, request_id)
        response = translate.decide_response(
            decision, credential_headers=credential_headers, exchange=exchange, token=token, trace=trace
        )
        if response.allow.handoff and response.allow.endpoint in policy.grounded:
            response.allow.handoff += f"\n{packed(await self._known(decision.request))}"
        return response

    async def _known(self, request: Request) -> frozenset[int]:
        """What a request refers to, as far as its body is here and can be read."""
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            return frozenset()
        return await self._aside.run(partial(known_of, request.body), effort_of(Effort.QUICK, len(request.body)))

    async def consume(self, message: pb.ConsumeRequest) -> pb.ConsumeResponse:
        """Charge what an already authenticated caller uses. Raises `InvalidCall`, `StoreUnavailable`."""
        costs = translate.costs_of(message)
        if costs is None and message.cost < 1:
            raise InvalidCall("cost must be between 1 and 2**40")
        if not (math.isfinite(message.hold_seconds) and 0 <= message.hold_seconds <= _MAX_HOLD):
            raise InvalidCall("hold_seconds must be between 0 and 86400")
        policy = self._policy()
        limits = limits_of(policy, message.attributes, message.endpoint)
        hold = message.hold_seconds or None
        for limit in limits:
            if limit.algorithm == "concurrency":
                if hold is None:
                    raise InvalidCall(f"limit '{limit.name}' of {limit.scope} holds a place: hold_seconds is needed")
                hold = max(hold, limit.period)  # a place that lasts can be given back for as long
            elif limit.cost not in (_SAME if costs is None else costs):
                raise InvalidCall(f"limit '{limit.name}' of {limit.scope} counts {limit.cost}: give its cost by unit")
        attributes = attributes_of(policy, message.attributes, message.endpoint)
        charges = charges_for(limits, attributes, message.cost if costs is None else costs)
        return translate.consume_response(await self._ledger.reserve(charges, hold=hold))

    async def settle(self, message: pb.SettleRequest) -> pb.SettleResponse:
        """Replace a reserved cost by the actual one. Raises `InvalidCall`, `StoreUnavailable`."""
        if not message.reservation:
            raise InvalidCall("a reservation is needed")
        costs = translate.costs_of(message)
        if costs is None:
            costs = dict.fromkeys(_SAME, message.cost)
        return pb.SettleResponse(settled=await self._ledger.settle(message.reservation, costs))

    async def extend(self, message: pb.ExtendRequest) -> pb.ExtendResponse:
        """Keep a reservation and what it holds, and reserve more. Raises `InvalidCall`, `StoreUnavailable`."""
        if not message.reservation:
            raise InvalidCall("a reservation is needed")
        if not (math.isfinite(message.hold_seconds) and 0 < message.hold_seconds <= _MAX_HOLD):
            raise InvalidCall("hold_seconds must be above 0 and at most 86400")
        costs = translate.costs_by_unit(message.costs)
        extension = await self._ledger.extend(message.reservation, costs, hold=message.hold_seconds)
        return translate.extend_response(extension)

    async def filter_text(self, message: pb.FilterTextRequest) -> pb.FilterTextResponse:
        """Rewrite one text. Raises `InvalidCall`, `UnsupportedBody`, `MalformedBody`, `BodyTooLarge`."""
        opened = self._open(message.selection, message.content_type)
        body, data = opened.body, message.text.encode()
        out = await self._feed(opened, data)
        if body.blocked is None:
            out += await self._aside.run(body.finish, effort_of(opened.effort, len(data)))  # JSON is read now
        coverage = opened.coverage()
        return pb.FilterTextResponse(
            text="" if body.blocked is not None else out.decode(),
            findings=translate.findings_of(coverage.findings),
            coverage=translate.coverage_of(coverage),
            blocked=translate.finding_of(body.blocked),
        )

    async def filter_stream(
        self, messages: AsyncIterator[pb.FilterStreamRequest]
    ) -> AsyncGenerator[pb.FilterStreamResponse, None]:
        """Rewrite a text in chunks, one answer a message. Raises `InvalidCall`, `ProtocolViolation`, `BodyTooLarge`."""
        opened: _Opened | None = None
        async for message in messages:
            match message.WhichOneof("message"):
                case "start" if opened is None:
                    opened = self._open(message.start.selection, "")
                    answer, ended = pb.FilterStreamResponse(), False
                case "text" if opened is not None:
                    out = await self._feed(opened, message.text.encode())
                    answer, ended = pb.FilterStreamResponse(text=out.decode()), opened.body.blocked is not None
                case "end" if opened is not None:
                    rest = await self._aside.run(opened.body.finish, opened.effort)
                    answer, ended = pb.FilterStreamResponse(text=rest.decode()), True
                case other:
                    raise ProtocolViolation(f"'{other}' is not expected here: send start, then text, then end")
            if ended:
                coverage = opened.coverage()
                done = pb.FilterStreamResponse.Done(
                    findings=translate.findings_of(coverage.findings),
                    blocked=translate.finding_of(opened.body.blocked),
                    coverage=translate.coverage_of(coverage),
                )
                answer.done.CopyFrom(done)
            yield answer
            if ended:
                return
        raise ProtocolViolation("the stream closed without 'end'")

    async def reveal(self, message: pb.RevealRequest) -> pb.RevealResponse:
        """Turn a pseudonym back. Raises `InvalidCall`; refusals are answers."""
        if self._revealer is None:
            raise InvalidCall("nothing is revealed here")
        reason = message.reason.strip()
        if not 1 <= len(reason) <= _MAX_REASON or not reason.isprintable():
            raise InvalidCall(f"a reason of 1 to {_MAX_REASON} printable characters is needed")
        version, request_id = self._policy().version, message.request_id or uuid.uuid4().hex
        request = translate.reveal_request_of(message, request_id)
        pseudonym = message.pseudonym[: MAX_PSEUDONYM + 1]  # a longer one is none either
        answer = await self._revealer.reveal(request, pseudonym, reason, request_id)
        return translate.reveal_response(answer, request_id, version)

    def exchange(self, messages: AsyncIterator[pb.ExchangeRequest]) -> AsyncGenerator[pb.ExchangeResponse, None]:
        """Carry one exchange through, one answer a message. Raises `InvalidCall`, `ProtocolViolation`."""
        if self._conductor is None:
            raise InvalidCall("exchanges are not carried through here")
        return self._conductor.conduct(messages)

    def handlers(self) -> tuple[grpc.GenericRpcHandler, ...]:
        """The method table for a grpc.aio server."""
        by = Calls(self._traces, self._on_error)
        methods = {
            "Decide": by.judged(self.decide, pb.DecideRequest),
            "Consume": by.unary("consume", self.consume, pb.ConsumeRequest, calls.consumed),
            "Settle": by.unary("settle", self.settle, pb.SettleRequest, calls.settled),
            "Extend": by.unary("extend", self.extend, pb.ExtendRequest, calls.extended),
            "FilterText": by.unary("filter_text", self.filter_text, pb.FilterTextRequest, calls.filtered),
            "FilterStream": by.stream("filter_stream", self.filter_stream, pb.FilterStreamRequest, calls.streamed),
            "Reveal": by.unary("reveal", self.reveal, pb.RevealRequest, calls.revealed),
            "Exchange": by.stream("exchange", self.exchange, pb.ExchangeRequest),
        }
        return (grpc.method_handlers_generic_handler(SERVICE, methods),)

    async def _leave(self, allow: Allow) -> None:
        """Nobody tells us when the exchange ends, so its turn in the queue is all that it gets of the capacity."""
        if allow.ticket and self._queue is not None:
            with suppress(StoreUnavailable):
                await self._queue.leave(allow.endpoint, allow.ticket)

    def _open(self, selection: pb.Selection, content_type: str) -> _Opened:
        """What rewrites a text, and holds it to the structure that an endpoint demands, if one is named."""
        policy = self._policy()
        names = rulesets_of(policy, rulesets=selection.rulesets, endpoint=selection.endpoint, tier=selection.tier)
        plan = keyed(self._plans.plan(policy, names, selection.endpoint), self._hash_key)
        kind = content_type or "text/plain; charset=utf-8"
        body = open_body(kind, plan, key=self._hash_key, max_bytes=self._max_text)
        if body is None:
            raise UnsupportedBody(kind)
        demand = policy.structures.get(selection.endpoint)
        if demand is None:
            return _Opened(body, plan.effort)
        demand = demand.in_shadow() if self._shadow else demand
        held = structured(body, kind, demand, max_bytes=self._max_text)
        if held is None:
            raise InvalidCall(
                "the endpoint demands a structure of its responses: give one whole, with its content_type"
            )
        return _Opened(held, plan.effort, demanded=True)

    async def _feed(self, opened: _Opened, data: bytes) -> bytes:
        body, out = opened.body, bytearray()
        for start in range(0, len(data), _SLICE):
            out += await self._aside.run(partial(body.feed, data[start : start + _SLICE]), opened.effort)
            if body.blocked is not None:
                break
            await asyncio.sleep(0)
        return bytes(out)


def _log(failure: Exception) -> None:
    logging.getLogger("tidegate.api").error("unexpected %s", type(failure).__name__)
