"""The gRPC services of one worker, assembled: Envoy's Check and Process, and our own API over the same parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from tidegate.admission.ledger import Ledger
from tidegate.admission.queue.fair_queue import Queue
from tidegate.api.conductor import Conductor
from tidegate.api.servicer import SERVICE as API_SERVICE
from tidegate.api.servicer import ApiServicer
from tidegate.audit.log import AuditLog
from tidegate.clock import Clock
from tidegate.context_token import ContextTokens
from tidegate.envoy import check, process
from tidegate.envoy.decisions import Decisions
from tidegate.envoy.exchange import Exchange
from tidegate.envoy.heartbeats import Heartbeats
from tidegate.envoy.hold_back import HoldBack
from tidegate.envoy.holds import Holds
from tidegate.envoy.keeping import Keeping
from tidegate.envoy.places import Places
from tidegate.envoy.plans import exchanges
from tidegate.envoy.settle import Settlements
from tidegate.envoy.terms import Terms
from tidegate.hash_key import hash_key
from tidegate.identity import Identifier
from tidegate.identity.standing import Standing
from tidegate.inbound.inspector import Inspector
from tidegate.model import Decision
from tidegate.pipeline import Pipeline
from tidegate.policy.compiled import Policy
from tidegate.revealing import Revealer
from tidegate.seal_keys import SealKeys
from tidegate.settings import Settings
from tidegate.telemetry import Telemetry

if TYPE_CHECKING:
    from tidegate.tracing import Traces

# Envoy balances over addresses; SO_REUSEPORT would give one worker all its connections. Its keepalive pings must not
# end a stream that is silent because the model is.
OPTIONS = (
    ("grpc.so_reuseport", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 1000),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.max_concurrent_streams", 100_000),
)


class Services:
    """What a worker answers, over parts that others opened and close. `health` says whether it takes calls."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock,
        telemetry: Telemetry,
        policy: Callable[[], Policy],
        identifier: Identifier,
        standing: Standing,
        ledger: Ledger,
        queue: Queue,
        audit: AuditLog | None,
        traces: Traces | None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._telemetry = telemetry
        self._policy = policy
        self._identifier = identifier
        self._ledger = ledger
        self._queue = queue
        self._audit = audit
        self._traces = traces
        self._seals = SealKeys(settings.pseudonym_keys)
        self._exchange = exchanges(policy, hash_key(settings.pepper), seals=self._seals, shadow=settings.shadow)
        told, on_error = telemetry.limits, telemetry.error
        self._keeping = Keeping(
            settlements=Settlements(ledger.settle, record=told.settlement, on_error=on_error, over=told.overshoot),
            holds=Holds(ledger, record=told.extension, on_error=on_error),
            places=Places(queue, record=told.place, on_error=on_error),
            record=self._record,
            live=telemetry.responses.stream,
            terms=Terms(standing.over, on_error=on_error),
            hold_back=self._waits,
            traces=traces,
        )
        tokens = ContextTokens(clock=clock)
        pipeline = self._pipeline()
        decisions = self._decisions(pipeline, tokens)
        self._checker = check.CheckServicer(decisions)
        self._processor = self._open_processor(decisions)
        self._api = self._open_api(pipeline, tokens)
        self.health = health.aio.HealthServicer()

    def server(self) -> grpc.aio.Server:
        """A server of all of them, with health and reflection, that has no address yet."""
        limit = ("grpc.max_receive_message_length", self._settings.max_message)
        server = grpc.aio.server(options=(*OPTIONS, limit))
        handlers = (self._checker.handler(), self._processor.handler(), *self._api.handlers())
        server.add_generic_rpc_handlers(handlers)
        health_pb2_grpc.add_HealthServicer_to_server(self.health, server)
        names = (check.SERVICE, process.SERVICE, API_SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, server)
        return server

    async def drained(self) -> None:
        """Wait until what exchanges left behind, such as their settlements, is done."""
        await self._processor.drained()

    def _open_processor(self, decisions: Decisions) -> process.ProcessServicer:
        return process.ProcessServicer(
            exchange=self._exchange,
            decisions=decisions,
            keeping=self._keeping,
            on_error=self._telemetry.error,
            heartbeats=Heartbeats(
                lambda: self._policy().heartbeat, clock=self._clock, record=self._telemetry.responses.heartbeat
            ),
        )

    def _pipeline(self) -> Pipeline:
        return Pipeline(
            policy=self._policy,
            identifier=self._identifier,
            ledger=self._ledger,
            on_error=self._telemetry.error,
            queue=self._queue,
            audited=self._audited,
            inspector=Inspector(shadow=self._settings.shadow),
            clock=self._clock,
        )

    def _decisions(self, pipeline: Pipeline, tokens: ContextTokens) -> Decisions:
        return Decisions(
            pipeline=pipeline,
            policy=self._policy,
            credential_headers=self._identifier.credential_headers,
            clock=self._clock,
            record=self._record_decision(),
            context_tokens=tokens,
            traces=self._traces,
        )

    def _open_api(self, pipeline: Pipeline, tokens: ContextTokens) -> ApiServicer:
        revealer = Revealer(
            policy=self._policy,
            identifier=self._identifier,
            ledger=self._ledger,
            seals=self._seals,
            keep=self._audit.keep if self._audit else None,
            told=self._telemetry.responses.reveal,
            on_error=self._telemetry.error,
        )
        return ApiServicer(
            pipeline=pipeline,
            revealer=revealer,
            policy=self._policy,
            ledger=self._ledger,
            queue=self._queue,
            conductor=Conductor(
                exchange=self._exchange, keeping=self._keeping, heartbeat=lambda: self._policy().heartbeat
            ),
            credential_headers=self._identifier.credential_headers,
            hash_key=hash_key(self._settings.pepper),
            shadow=self._settings.shadow,
            record=self._record_decision(),
            on_error=self._telemetry.error,
            context_tokens=tokens,
            traces=self._traces,
        )

    def _waits(self) -> HoldBack:
        told = self._telemetry.responses
        return HoldBack(self._clock, told.held, told.once)

    def _record(self, exchange: Exchange, request_id: str) -> None:
        coverage = exchange.coverage()
        self._telemetry.responses.record(request_id, exchange.outcome, exchange.failure, coverage)
        if self._audit is not None:
            self._audit.response(exchange, request_id, coverage)

    def _record_decision(self) -> Callable[[Decision, float], None]:
        audit, told = self._audit, self._telemetry.decisions.record
        if audit is None:
            return told

        def record(decision: Decision, seconds: float) -> None:
            told(decision, seconds)
            audit.decision(decision)

        return record

    def _audited(self) -> bool:
        return self._audit is not None and self._audit.available
