"""Traces (OpenTelemetry), where somebody wants them: spans of what was asked of this process, made when it is over.

The trace is the caller's, or Envoy's where that traces (W3C Trace Context). Check hands its span over to Process, so
that both are in one trace wherever they run, and names it to the client (`traceresponse`, of the editor's draft of W3C
Trace Context). Attributes are names of the policy, outcomes, counts and the request's id:
never a credential, a text or a found value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from tidegate.clock import Clock
from tidegate.envoy.exchange import Exchange
from tidegate.model import Decision, Deny

SERVICE: Final = "tidegate"
_W3C: Final = TraceContextTextMapPropagator()


class Traces:
    """Spans of one process, sent to an OTLP collector in the background.

    Which are sampled the parent says, and else OpenTelemetry's own environment variables (`OTEL_TRACES_SAMPLER`).
    """

    def __init__(self, provider: TracerProvider, *, clock: Clock) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer(SERVICE)
        self._clock = clock

    @classmethod
    def to(cls, endpoint: str, *, clock: Clock) -> Traces:
        """Traces that go to the collector at `endpoint`: OTLP over gRPC, "http://host:4317", or "https://"."""
        provider = TracerProvider(resource=Resource.create({SERVICE_NAME: SERVICE}), shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
        return cls(provider, clock=clock)

    def now(self) -> float:
        """The moment, in seconds, as a span's beginning is told."""
        return self._clock.monotonic()

    def checked(self, decision: Decision, metadata: Mapping[str, str], start: float) -> str:
        """Check has decided; its span as a `traceparent`, and the `tracestate` after a space where there is one.

        `metadata` is that of the call.
        """
        carrier = metadata if "traceparent" in metadata else decision.request.headers
        verdict = decision.verdict
        attributes: dict[str, AttributeValue] = {
            "tidegate.request_id": decision.request.id,
            "tidegate.policy": decision.policy,
            "tidegate.endpoint": decision.endpoint,
            "tidegate.outcome": "deny" if isinstance(verdict, Deny) else "allow",
        }
        if isinstance(verdict, Deny):
            attributes["tidegate.reason"] = str(verdict.reason)
        elif decision.identity is not None:
            attributes["tidegate.tier"] = decision.identity.tier
        span = self._begin("tidegate.check", _W3C.extract(carrier), start, attributes)
        inside = set_span_in_context(span)
        for lap in decision.laps:
            phase = self._tracer.start_span(f"tidegate.{lap.phase}", inside, start_time=self._at(lap.start))
            phase.end(self._at(lap.end))
        span.end(self._at(self.now()))
        told: dict[str, str] = {}
        _W3C.inject(told, inside)
        return " ".join(told[field] for field in ("traceparent", "tracestate") if field in told)

    def processed(self, exchange: Exchange, start: float) -> None:
        """Process is through with an exchange. Of a refusal, whose answer it sees too, Check has told all there is."""
        handoff = exchange.handoff
        if handoff is None or not handoff.trace:
            return
        coverage = exchange.coverage()
        attributes: dict[str, AttributeValue] = {
            "tidegate.request_id": handoff.request_id,
            "tidegate.endpoint": handoff.endpoint,
            "tidegate.outcome": exchange.outcome,
            "tidegate.failure": exchange.failure,
            "tidegate.format": coverage.format,
            "tidegate.scanned_bytes": coverage.scanned_bytes,
            "tidegate.skipped_bytes": coverage.skipped_bytes,
            "tidegate.findings": sum(coverage.findings.values()),
        }
        parent = _W3C.extract(dict(zip(("traceparent", "tracestate"), handoff.trace.split(" ", 1), strict=False)))
        self._begin("tidegate.process", parent, start, attributes).end(self._at(self.now()))

    @contextmanager
    def call(self, name: str, metadata: Mapping[str, str]) -> Iterator[dict[str, AttributeValue]]:
        """Around one call of our own API, below the span that its `metadata` names. Who has answered adds attributes.

        Where the call fails, the span tells the type of the failure, not its text: that may quote what was sent.
        """
        start = self.now()
        attributes: dict[str, AttributeValue] = {}
        try:
            yield attributes
        except Exception as failure:
            attributes["tidegate.failure"] = type(failure).__name__
            raise
        finally:
            self._begin(f"tidegate.{name}", _W3C.extract(metadata), start, attributes).end(self._at(self.now()))

    def close(self) -> None:
        """Send what waits, and stop. Blocks while a collector that does not answer is tried once more."""
        self._provider.force_flush(10_000)
        self._provider.shutdown()

    def _begin(self, name: str, parent: Context, start: float, attributes: Mapping[str, AttributeValue]) -> Span:
        return self._tracer.start_span(
            name, parent, kind=SpanKind.SERVER, attributes=attributes, start_time=self._at(start)
        )

    def _at(self, moment: float) -> int:
        return round((self._clock.now() - self._clock.monotonic() + moment) * 1e9)
