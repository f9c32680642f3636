"""What a process opens beside its gRPC server: the stores of limits, places and proofs, the audit log, traces, TLS."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

import grpc

from tidegate.admission.ledger import Ledger
from tidegate.admission.open import MEMORY, check_url, open_ledger, open_queue
from tidegate.admission.queue.fair_queue import Queue
from tidegate.audit.chain import chain_key
from tidegate.audit.log import AuditLog
from tidegate.audit.open import open_sink
from tidegate.audit.sink import place_of, writer_name
from tidegate.certificates import Certificates
from tidegate.clock import Clock
from tidegate.identity.redis_replays import RedisReplays
from tidegate.identity.replays import MemoryReplays, Replays
from tidegate.policy.compiled import Policy
from tidegate.settings import Settings, SettingsError, naming
from tidegate.startup import remembers_proofs
from tidegate.telemetry import Telemetry

if TYPE_CHECKING:
    from tidegate.tracing import Traces


async def limits(settings: Settings, *, clock: Clock, policy: Callable[[], Policy], telemetry: Telemetry) -> Ledger:
    """Where limits are counted. Raises `SettingsError`."""
    told = telemetry.limits
    with naming("--store"):
        return await open_ledger(
            settings.store,
            clock=clock,
            timeout=settings.store_timeout,
            replicas=settings.replicas,
            on_outage=lambda: policy().store.on_outage,
            on_state=told.store,
            on_silence=told.store_silent,
            on_error=telemetry.error,
            on_spared=told.store_spared,
            on_batch=told.store_batch,
        )


def queue(
    settings: Settings, ledger: Ledger, *, clock: Clock, policy: Callable[[], Policy], telemetry: Telemetry
) -> Queue:
    """Where places are waited for: the same store."""
    return open_queue(
        settings.store,
        ledger=ledger,
        clock=clock,
        timeout=settings.store_timeout,
        on_outage=lambda: policy().store.on_outage,
        observer=telemetry.limits,
        on_batch=telemetry.limits.store_batch,
    )


def replays(settings: Settings, *, clock: Clock) -> Replays | None:
    """Where used proofs are remembered; None where not all replicas would know of them. Raises `SettingsError`."""
    if settings.store == MEMORY:
        return MemoryReplays(clock) if remembers_proofs(settings) else None
    with naming("--store"):
        check_url(settings.store)
    return RedisReplays(settings.store, timeout=settings.store_timeout)


def audit(settings: Settings, *, clock: Clock, policy: Callable[[], Policy], telemetry: Telemetry) -> AuditLog | None:
    """The audit log, where one is wanted. Raises `SettingsError`."""
    if not settings.audit:
        return None
    writer = writer_name(socket.gethostname(), settings.listen)
    with naming("--audit"):
        sink = open_sink(place_of(settings.audit), writer, clock=clock)
    return AuditLog(
        sink,
        writer=writer,
        key=chain_key(settings.pepper),
        policy=policy,
        clock=clock,
        observer=telemetry.upkeep,
        on_error=telemetry.error,
    )


def traces(settings: Settings, *, clock: Clock) -> Traces | None:
    """Only where they are wanted is OpenTelemetry loaded at all. Raises `SettingsError`."""
    if not settings.otlp:
        return None
    if not settings.otlp.startswith(("http://", "https://")):
        raise SettingsError(f"--otlp: '{settings.otlp}' does not begin with http:// or https://")
    try:
        from tidegate.tracing import Traces
    except ImportError as error:
        raise SettingsError(f"--otlp needs the extra 'otel' (pip install 'tidegate[otel]'): {error}") from None
    return Traces.to(settings.otlp, clock=clock)


def credentials(settings: Settings, telemetry: Telemetry) -> grpc.ServerCredentials | None:
    """What the gRPC server shows its clients; None for plain text. Raises `SettingsError`."""
    told = telemetry.upkeep
    if settings.tls is None:
        return None
    certificates = Certificates(settings.tls, on_change=told.certificates, on_error=told.certificates_refused)
    told.certificate_ends = lambda: certificates.ends
    return certificates.credentials()
