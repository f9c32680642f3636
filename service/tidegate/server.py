"""The composition root: builds one worker from its settings, runs it, drains it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

import grpc
import grpc.aio
import uvloop
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from tidegate.admission.ledger import Ledger
from tidegate.admission.open import MEMORY, check_url, open_ledger, open_queue
from tidegate.admission.queue.fair_queue import Queue
from tidegate.api.conductor import Conductor
from tidegate.api.servicer import SERVICE as API_SERVICE
from tidegate.api.servicer import ApiServicer
from tidegate.audit.chain import chain_key
from tidegate.audit.log import AuditLog
from tidegate.audit.open import open_sink
from tidegate.audit.sink import place_of, writer_name
from tidegate.certificates import Certificates
from tidegate.clock import Clock, SystemClock
from tidegate.context_token import ContextTokens, jwks
from tidegate.envoy import check, process
from tidegate.envoy.exchange import Exchange
from tidegate.envoy.heartbeats import Heartbeats
from tidegate.envoy.hold_back import HoldBack
from tidegate.envoy.holds import Holds
from tidegate.envoy.places import Places
from tidegate.envoy.plans import exchanges
from tidegate.envoy.settle import Settlements
from tidegate.envoy.terms import Terms
from tidegate.hash_key import hash_key
from tidegate.identity import (
    BearerVerifier,
    Identifier,
    Introspector,
    KeySets,
    KeyStore,
)
from tidegate.identity.confirmation import Confirmation
from tidegate.identity.inquiries import Inquiries
from tidegate.identity.nonces import nonces_under
from tidegate.identity.redis_replays import RedisReplays
from tidegate.identity.renewed import Renewed
from tidegate.identity.replays import MemoryReplays, Replays
from tidegate.identity.standing import Standing
from tidegate.inbound.inspector import Inspector
from tidegate.known_credentials import KnownCredentials
from tidegate.listening import bind
from tidegate.model import Decision
from tidegate.pipeline import Pipeline
from tidegate.policy import PolicySource
from tidegate.policy.compiled import Policy
from tidegate.published import publish
from tidegate.revealing import Revealer
from tidegate.seal_keys import SealKeys
from tidegate.settings import Settings, SettingsError
from tidegate.startup import (
    check_audit,
    check_keys,
    check_revocation,
    naming,
    remembers_proofs,
)
from tidegate.telemetry import Telemetry

if TYPE_CHECKING:
    from tidegate.tracing import Traces

# Envoy balances over addresses; SO_REUSEPORT would give one worker all its connections. Its keepalive pings must not
# end a stream that is silent because the model is.
_OPTIONS = (
    ("grpc.so_reuseport", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 1000),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.max_concurrent_streams", 100_000),
)


class Worker:
    """One process's service: gRPC server, health, metrics, reload."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()
        self.telemetry = Telemetry(clock=self._clock, level=settings.log_level)
        self._key_sets = KeySets(clock=self._clock)
        inquiries = Inquiries(settings.pepper)
        self._introspector = Introspector(clock=self._clock, inquiries=inquiries)
        self._renewed = Renewed(
            introspector=self._introspector, inquiries=inquiries, policy=self._policy, clock=self._clock
        )
        self._replays = self._open_replays()
        self._known = KnownCredentials(settings, clock=self._clock, telemetry=self.telemetry, policy=self._policy)
        self._identifier = Identifier(
            keys=KeyStore({}, pepper=settings.pepper),
            uses=self._known.uses,
            confirmation=Confirmation(clock=self._clock, replays=self._replays, nonces=nonces_under(settings.pepper)),
            verifier=BearerVerifier(clock=self._clock, key_sets=self._key_sets),
            introspector=self._introspector,
            clock=self._clock,
        )
        self._known.tell(self._identifier)
        self.source = PolicySource(
            settings.policy,
            prepare=self._read_keys,
            on_change=self.telemetry.policy,
            on_error=self.telemetry.policy_refused,
        )
        self._health = health.aio.HealthServicer()
        self._audit = self._open_audit()
        self._traces = self._open_traces()
        self._stopping = asyncio.Event()
        self.telemetry.policy(self.source.current)

    def _read_keys(self, policy: Policy) -> Callable[[], None]:
        """The keys of a policy: both come into force together, or neither does. Raises `PolicyError`."""
        check_keys(policy, self._settings)
        check_audit(policy, self._settings)
        check_revocation(policy, self._settings)
        return self._known.read(policy)

    def _open_replays(self) -> Replays | None:
        """Where used proofs are remembered; None where not all replicas would know of them."""
        settings = self._settings
        if settings.store == MEMORY:
            return MemoryReplays(self._clock) if remembers_proofs(settings) else None
        with naming("--store"):
            check_url(settings.store)
        return RedisReplays(settings.store, timeout=settings.store_timeout)

    def _policy(self) -> Policy:
        return self.source.current

    def _open_audit(self) -> AuditLog | None:
        settings = self._settings
        if not settings.audit:
            return None
        writer = writer_name(socket.gethostname(), settings.listen)
        with naming("--audit"):
            sink = open_sink(place_of(settings.audit), writer, clock=self._clock)
        return AuditLog(
            sink,
            writer=writer,
            key=chain_key(settings.pepper),
            policy=self._policy,
            clock=self._clock,
            observer=self.telemetry,
            on_error=self.telemetry.error,
        )

    def _open_traces(self) -> Traces | None:
        """Only where they are wanted is OpenTelemetry loaded at all."""
        if not self._settings.otlp:
            return None
        if not self._settings.otlp.startswith(("http://", "https://")):
            raise SettingsError(f"--otlp: '{self._settings.otlp}' does not begin with http:// or https://")
        try:
            from tidegate.tracing import Traces
        except ImportError as error:
            raise SettingsError(f"--otlp needs the extra 'otel' (pip install 'tidegate[otel]'): {error}") from None
        return Traces.to(self._settings.otlp, clock=self._clock)

    def _record(self, exchange: Exchange, request_id: str) -> None:
        coverage = exchange.coverage()
        self.telemetry.response(request_id, exchange.outcome, exchange.failure, coverage)
        if self._audit is not None:
            self._audit.response(exchange, request_id, coverage)

    def _record_decision(self) -> Callable[[Decision, float], None]:
        audit, told = self._audit, self.telemetry.decision
        if audit is None:
            return told

        def record(decision: Decision, seconds: float) -> None:
            told(decision, seconds)
            audit.decision(decision)

        return record

    def _audited(self) -> bool:
        return self._audit is not None and self._audit.available

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then drain: NOT_SERVING, wait for the balancer to see it, finish streams."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, self.source.reload)
        ledger = await self._open_ledger()
        queue = self._open_queue(ledger)
        await self._known.start()
        if self._audit is not None:
            await self._audit.start()
        try:
            await self._serve(ledger, queue)
        finally:
            await self._known.close()
            await queue.close()
            await ledger.close()
            if self._audit is not None:
                await self._audit.close()
            if self._replays is not None:
                await self._replays.close()
            await self._key_sets.aclose()
            await self._renewed.aclose()
            await self._introspector.aclose()
        if self._traces is not None:
            await asyncio.to_thread(self._traces.close)
        self.telemetry.flush()
        self.telemetry.log.info("stopped")

    async def _open_ledger(self) -> Ledger:
        settings = self._settings
        with naming("--store"):
            return await open_ledger(
                settings.store,
                clock=self._clock,
                timeout=settings.store_timeout,
                replicas=settings.replicas,
                on_outage=lambda: self.source.current.store.on_outage,
                on_state=self.telemetry.store,
                on_silence=self.telemetry.store_silent,
                on_spared=self.telemetry.store_spared,
                on_batch=self.telemetry.store_batch,
            )

    def _credentials(self) -> grpc.ServerCredentials | None:
        tls, told = self._settings.tls, self.telemetry
        if tls is None:
            return None
        certificates = Certificates(tls, on_change=told.certificates, on_error=told.certificates_refused)
        told.certificate_ends = lambda: certificates.ends
        return certificates.credentials()

    def _open_queue(self, ledger: Ledger) -> Queue:
        return open_queue(
            self._settings.store,
            ledger=ledger,
            clock=self._clock,
            timeout=self._settings.store_timeout,
            on_outage=lambda: self.source.current.store.on_outage,
            observer=self.telemetry,
            on_batch=self.telemetry.store_batch,
        )

    async def _serve(self, ledger: Ledger, queue: Queue) -> None:
        settings = self._settings
        told = self.telemetry
        settlements = Settlements(ledger.settle, record=told.settlement, on_error=told.error, over=told.overshoot)
        holds = Holds(ledger, record=self.telemetry.extension, on_error=self.telemetry.error)
        places = Places(queue, record=self.telemetry.place, on_error=self.telemetry.error)
        seals = SealKeys(settings.pseudonym_keys)
        exchange = exchanges(self._policy, hash_key(settings.pepper), seals=seals, shadow=settings.shadow)
        standing = Standing(policy=self._policy, identifier=self._identifier, clock=self._clock, renewed=self._renewed)
        terms = Terms(standing.over, on_error=self.telemetry.error)
        processor = self._processor(exchange, settlements, holds, places, terms)
        conductor = self._conductor(exchange, settlements, holds, places, terms)
        server = self._server(ledger, queue, processor, conductor)
        bind(server, settings, self._credentials())
        close_published = publish(settings.metrics, self.telemetry.registry, lambda: jwks(self.source.current))
        watcher = asyncio.create_task(self.source.watch(self._stopping))
        await server.start()
        # What was built so far lives as long as the process: the collector need not walk it again and again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 20)
        await self._health.set("", health_pb2.HealthCheckResponse.SERVING)
        if settings.shadow:
            self.telemetry.log.warning("in shadow: no rule changes or withholds a response")
        self.telemetry.log.info("serving", address=settings.listen, policy=self.source.current.version)
        await self._stopping.wait()
        await self._health.enter_graceful_shutdown()
        self.telemetry.log.info("draining", seconds=settings.drain)
        await asyncio.sleep(settings.health_grace)
        await server.stop(settings.drain)
        await processor.drained()
        await conductor.drained()
        with contextlib.suppress(asyncio.CancelledError):
            await watcher
        close_published()

    def _processor(
        self, exchange: Callable[[], Exchange], settlements: Settlements, holds: Holds, places: Places, terms: Terms
    ) -> process.ProcessServicer:
        return process.ProcessServicer(
            exchange=exchange,
            record=self._record,
            on_error=self.telemetry.error,
            live=self.telemetry.stream,
            settlements=settlements,
            holds=holds,
            places=places,
            heartbeats=Heartbeats(
                lambda: self.source.current.heartbeat, clock=self._clock, record=self.telemetry.heartbeat
            ),
            terms=terms,
            hold_back=self._waits,
            traces=self._traces,
        )

    def _waits(self) -> HoldBack:
        return HoldBack(self._clock, self.telemetry.held, self.telemetry.once)

    def _conductor(
        self, exchange: Callable[[], Exchange], settlements: Settlements, holds: Holds, places: Places, terms: Terms
    ) -> Conductor:
        return Conductor(
            exchange=exchange,
            record=self._record,
            live=self.telemetry.stream,
            settlements=settlements,
            holds=holds,
            places=places,
            terms=terms,
            hold_back=self._waits,
            heartbeat=lambda: self.source.current.heartbeat,
        )

    def _server(
        self, ledger: Ledger, queue: Queue, processor: process.ProcessServicer, conductor: Conductor
    ) -> grpc.aio.Server:
        pipeline = Pipeline(
            policy=self._policy,
            identifier=self._identifier,
            ledger=ledger,
            on_error=self.telemetry.error,
            queue=queue,
            audited=self._audited,
            inspector=Inspector(shadow=self._settings.shadow),
            clock=self._clock,
        )
        tokens = ContextTokens(clock=self._clock)
        checker = check.CheckServicer(
            pipeline=pipeline,
            policy=self._policy,
            credential_headers=self._identifier.credential_headers,
            clock=self._clock,
            record=self._record_decision(),
            context_tokens=tokens,
            traces=self._traces,
        )
        revealer = Revealer(
            policy=self._policy,
            identifier=self._identifier,
            ledger=ledger,
            seals=SealKeys(self._settings.pseudonym_keys),
            keep=self._audit.keep if self._audit else None,
            told=self.telemetry.reveal,
            on_error=self.telemetry.error,
        )
        api = ApiServicer(
            pipeline=pipeline,
            revealer=revealer,
            policy=self._policy,
            ledger=ledger,
            queue=queue,
            conductor=conductor,
            credential_headers=self._identifier.credential_headers,
            hash_key=hash_key(self._settings.pepper),
            shadow=self._settings.shadow,
            record=self._record_decision(),
            on_error=self.telemetry.error,
            context_tokens=tokens,
        )
        limit = ("grpc.max_receive_message_length", self._settings.max_message)
        server = grpc.aio.server(options=(*_OPTIONS, limit))
        server.add_generic_rpc_handlers((checker.handler(), processor.handler(), *api.handlers()))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        names = (check.SERVICE, process.SERVICE, API_SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, server)
        return server


def serve(settings: Settings) -> None:
    """Run one worker to its end. Raises `PolicyError` or `SettingsError` before anything is served."""

    async def main() -> None:
        await Worker(settings).run()

    uvloop.run(main())
