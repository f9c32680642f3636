"""One worker: built from its settings, run until it is told to stop, drained."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
from collections.abc import Callable

import uvloop
from grpc_health.v1 import health_pb2

from tidegate import opening
from tidegate.clock import Clock, SystemClock
from tidegate.context_token import jwks
from tidegate.envoy.plans import plans_of
from tidegate.filtering.scanner import compile_ahead
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
from tidegate.identity.renewed import Renewed
from tidegate.identity.standing import Standing
from tidegate.known_credentials import KnownCredentials
from tidegate.lifeline import Lifeline
from tidegate.listening import bind
from tidegate.policy import PolicySource
from tidegate.policy.compiled import Policy
from tidegate.published import publish
from tidegate.services import Services
from tidegate.settings import Settings
from tidegate.startup import check_audit, check_keys, check_revocation
from tidegate.telemetry import Telemetry


class Worker:
    """One process's service: gRPC server, health, metrics, reload. `lifeline` leads to its supervisor, if any."""

    def __init__(self, settings: Settings, clock: Clock | None = None, *, lifeline: Lifeline | None = None) -> None:
        self._settings = settings
        self._lifeline = lifeline
        self._clock = clock or SystemClock()
        self.telemetry = Telemetry(clock=self._clock, level=settings.log_level)
        self._key_sets = KeySets(clock=self._clock)
        inquiries = Inquiries(settings.pepper)
        self._introspector = Introspector(clock=self._clock, inquiries=inquiries)
        self._renewed = Renewed(
            introspector=self._introspector, inquiries=inquiries, policy=self._policy, clock=self._clock
        )
        self._replays = opening.replays(settings, clock=self._clock)
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
            prepare=self._prepare,
            on_change=self.telemetry.upkeep.policy,
            on_error=self.telemetry.upkeep.policy_refused,
        )
        self._audit = opening.audit(settings, clock=self._clock, policy=self._policy, telemetry=self.telemetry)
        self._traces = opening.traces(settings, clock=self._clock)
        self._stopping = asyncio.Event()
        self.telemetry.upkeep.policy(self.source.current)

    def _policy(self) -> Policy:
        return self.source.current

    def _prepare(self, policy: Policy) -> Callable[[], None]:
        """The keys of a policy: both come into force together, or neither does. Raises `PolicyError`.

        What its rules look for is compiled, too, which no exchange then waits for.
        """
        check_keys(policy, self._settings)
        check_audit(policy, self._settings)
        check_revocation(policy, self._settings)
        compile_ahead(plans_of(policy, shadow=self._settings.shadow))
        return self._known.read(policy)

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then drain: NOT_SERVING, wait for the balancer to see it, finish streams."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, self.source.reload)
        loop.add_signal_handler(signal.SIGUSR2, self._cannot_replace_itself)
        if self._lifeline is not None:
            self._lifeline.hold(self._orphaned)
        settings, clock, told = self._settings, self._clock, self.telemetry
        ledger = await opening.limits(settings, clock=clock, policy=self._policy, telemetry=told)
        queue = opening.queue(settings, ledger, clock=clock, policy=self._policy, telemetry=told)
        await self._known.start()
        if self._audit is not None:
            await self._audit.start()
        try:
            await self._serve(
                Services(
                    settings,
                    clock=clock,
                    telemetry=told,
                    policy=self._policy,
                    identifier=self._identifier,
                    standing=Standing(
                        policy=self._policy, identifier=self._identifier, clock=clock, renewed=self._renewed
                    ),
                    ledger=ledger,
                    queue=queue,
                    audit=self._audit,
                    traces=self._traces,
                )
            )
        finally:
            await self._known.close()
            await queue.close()
            await ledger.close()
            if self._audit is not None:
                await self._audit.close()
            if self._replays is not None:
                await self._replays.close()
            await self._key_sets.close()
            await self._renewed.close()
            await self._introspector.close()
        if self._traces is not None:
            await asyncio.to_thread(self._traces.close)
        told.decisions.flush()
        told.responses.flush()
        told.log.info("stopped")

    def _orphaned(self) -> None:
        """Nobody would start it again, or tell it to end, and whoever starts the command anew needs its address."""
        self.telemetry.upkeep.orphaned()
        self._stopping.set()

    def _cannot_replace_itself(self) -> None:
        """SIGUSR2 is for who started several workers; unheeded, it would end this one at once."""
        self.telemetry.log.warning("SIGUSR2 is for the command with --workers 2 or more; a worker does nothing")

    async def _serve(self, services: Services) -> None:
        settings, told = self._settings, self.telemetry
        server = services.server()
        bind(server, settings, opening.credentials(settings, told))
        loop = asyncio.get_running_loop()
        told.upkeep.tasks = lambda: len(asyncio.all_tasks(loop))
        close_published = publish(settings.metrics, told.registry, lambda: jwks(self.source.current))
        watcher = asyncio.create_task(self.source.watch(self._stopping))
        await server.start()
        # What was built so far lives as long as the process: the collector need not walk it again and again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 20)
        await services.health.set("", health_pb2.HealthCheckResponse.SERVING)
        if settings.shadow:
            told.log.warning("in shadow: no rule changes or withholds a response")
        told.log.info("serving", address=settings.listen, policy=self.source.current.version, pid=os.getpid())
        if self._lifeline is not None:
            self._lifeline.beat()
        await self._stopping.wait()
        await services.health.enter_graceful_shutdown()
        told.log.info("draining", seconds=settings.drain)
        await asyncio.sleep(settings.health_grace)
        await server.stop(settings.drain)
        await services.drained()
        with contextlib.suppress(asyncio.CancelledError):
            await watcher
        close_published()


def serve(settings: Settings, lifeline: Lifeline | None = None) -> None:
    """Run one worker to its end. Raises `PolicyError` or `SettingsError` before anything is served."""

    async def main() -> None:
        await Worker(settings, lifeline=lifeline).run()

    uvloop.run(main())
