"""What we say of ourselves: metrics for Prometheus and one structured line a decision. Never a credential, never text.

Labels take only values from the policy or from closed lists, so cardinality is bounded by the policy, not by callers.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from typing import Any, BinaryIO

import orjson
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.registry import Collector

from tidegate.admission.outage import State
from tidegate.admission.queue.fair_queue import Outcome
from tidegate.admission.queue.terms import Priority
from tidegate.audit.chain import Head
from tidegate.clock import Clock
from tidegate.errors import PolicyError
from tidegate.filtering.formats import Coverage
from tidegate.filtering.safety.meter import ModerationMeter
from tidegate.model import Allow, Decision, Identity, Inspection, Limit, exceeded
from tidegate.policy.compiled import Policy
from tidegate.settings import SettingsError

_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
_HELD = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SCORES = (0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0)
_FLUSH = 0.05  # seconds
_Line = tuple[str, str, str, Identity | None, str, str, tuple[Limit, ...], float, float, Inspection | None]
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def logger(level: str, stream: BinaryIO) -> Any:
    """A structured logger that writes one JSON object a line. Handed around, never global."""
    return structlog.wrap_logger(
        structlog.BytesLogger(stream),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(serializer=lambda event, **_: orjson.dumps(event, default=str)),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
    )


class Telemetry:
    """Metrics and logs of one process."""

    def __init__(self, *, clock: Clock, level: str = "info", stream: BinaryIO | None = None) -> None:
        self.registry = CollectorRegistry()
        self._clock = clock
        self._stream = stream or sys.stderr.buffer
        self._verbose = _LEVELS[level] <= _LEVELS["info"]
        self._exact = True
        self._waiting: list[tuple[tuple[str, ...], _Line]] = []
        self.log = logger(level, self._stream)
        self._decisions = self._new(
            Counter, "decisions", "Check decisions", ("outcome", "reason", "endpoint", "tier", "enforcement", "method")
        )
        self._exceeded = self._new(
            Counter, "limits_exceeded", "Requests that a limit had no room for", ("scope", "limit", "shadow")
        )
        self._decision_seconds = self._new(Histogram, "decision_seconds", "Time to decide, seconds", (), _SECONDS)
        self._responses = self._new(Counter, "responses", "Responses processed", ("outcome", "format", "failure"))
        self._scanned = self._new(Counter, "scanned_bytes", "Response bytes read by detectors", ("format",))
        self._skipped = self._new(Counter, "skipped_bytes", "Response bytes not read by detectors", ("format",))
        self._findings = self._new(Counter, "findings", "Values found in responses", ("entity", "action"))
        self._prompt_findings = self._new(Counter, "prompt_findings", "Values found in requests", ("entity", "action"))
        self._scores = self._new(
            Histogram, "prompt_injection_score", "Scores of injection, 0 to 1", ("endpoint", "role"), _SCORES
        )
        self._streams = self._new(Gauge, "streams", "Process streams open now", ())
        self._reload_failures = self._new(Counter, "policy_reload_failures", "Policy reloads refused", ())
        self._certificates = self._new(Counter, "certificate_reloads", "TLS files that had changed", ("outcome",))
        self._policy_info = self._new(Gauge, "policy_info", "1 for the policy version in force", ("version",))
        self._anonymous = self._new(Gauge, "anonymous_endpoints", "Endpoints that need no credential", ())
        self._errors = self._new(Counter, "errors", "Unexpected exceptions, all answered by deny", ("type",))
        self._store = self._new(Gauge, "store_exact", "1 while the limit store counts, 0 while it is out", ())
        self._store.set(1)
        self._spared = self._new(Counter, "store_calls_spared", "Refusals repeated without asking the store", ())
        self._keys = self._new(Gauge, "keys_current", "0 while the store of the API keys is out", ())
        self._keys.set(1)
        self._revoked = self._new(Gauge, "revocations_current", "0 while the list of revoked tokens is out", ())
        self._revoked.set(1)
        self._settlements = self._new(Counter, "settlements", "Reservations settled after the response", ("outcome",))
        self._extensions = self._new(Counter, "extensions", "Reservations extended while they ran", ("why", "outcome"))
        self._reveals = self._new(Counter, "reveals", "Calls to turn a pseudonym back", ("outcome",))
        self._held = self._new(
            Histogram, "hold_back_seconds", "Time from a piece of streamed text to its release, seconds", (), _HELD
        )
        self._heartbeats = self._new(Counter, "heartbeats", "Comments put into event streams that were silent", ())
        line = ("endpoint", "priority")
        self._depth = self._new(Gauge, "queue_waiting", "Exchanges that wait here for a place in an endpoint", line)
        self._wait = self._new(
            Histogram, "queue_wait_seconds", "Wait of those who got a place, seconds", line, _SECONDS
        )
        self._overloads = self._new(
            Counter, "queue_refusals", "Exchanges that got no place in their endpoint", (*line, "outcome")
        )
        self._places = self._new(Counter, "place_steps", "Places renewed and given back", ("step", "answered"))
        self._audited = self._new(Counter, "audit_records", "Audit records that were kept", ())
        self._unaudited = self._new(Counter, "audit_lost", "Audit records that could not be kept", ())
        self._audit = self._new(Gauge, "audit_available", "0 while the audit log cannot be written", ())
        self._moderation = ModerationMeter()
        self.registry.register(self._moderation)
        self._lies = self._new(Counter, "usage_refused", "Figures of a response's usage that were not believed", ())

    def _new(self, kind: Any, name: str, text: str, labels: tuple[str, ...], buckets: Any = None) -> Any:
        extra = {"buckets": buckets} if buckets else {}
        metric: Collector = kind(f"tidegate_{name}", text, labels, registry=self.registry, **extra)
        return metric

    def decision(self, decision: Decision, seconds: float) -> None:
        """Count and log one decision, within 50 ms: together with others it costs half (measured)."""
        verdict, identity, admission = decision.verdict, decision.identity, decision.admission
        if isinstance(verdict, Allow):
            outcome, reason, detail, rule = "allow", "", "", ""
        else:
            outcome, reason, detail, rule = "deny", str(verdict.reason), verdict.detail, verdict.rule
        endpoint = decision.endpoint
        tier = identity.tier if identity and (endpoint or not reason) else ""
        enforcement = admission.enforcement if admission else "none"
        labels = (outcome, reason, endpoint, tier, enforcement, identity.method if identity else "")
        limits: tuple[Limit, ...] = ()
        if admission and (admission.refused or admission.shadowed):
            limits = (*exceeded(admission), *[state.limit for state in admission.shadowed])
        now = self._clock.now()
        what = (decision.request.id, detail, rule, identity, decision.model, decision.policy)
        line = (*what, limits, seconds, now, decision.inspection)
        self._waiting.append((labels, line))
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_later(_FLUSH, self.flush)

    def flush(self) -> None:
        """Count and write the decisions that wait; called while there are any, and at the end of the process."""
        waiting, self._waiting = self._waiting, []
        lines = []
        for labels, (request_id, detail, rule, identity, model, policy, limits, seconds, at, found) in waiting:
            self._decisions.labels(*labels).inc()
            self._decision_seconds.observe(seconds)
            for limit in limits:
                self._exceeded.labels(limit.scope, limit.name, "true" if limit.shadow else "false").inc()
            if found is not None:
                for (entity, action), count in found.findings.items():
                    self._prompt_findings.labels(entity, action).inc(count)
                for role, score in found.scores.items():
                    self._scores.labels(labels[2], role).observe(score)
            if self._verbose:
                outcome, reason, endpoint, _, _, method = labels
                line = {
                    "event": "decision",
                    "request_id": request_id,
                    "outcome": outcome,
                    "reason": reason,
                    "detail": detail,
                    "rule": rule,
                    "tenant": identity.tenant if identity else "",
                    "subject": identity.subject if identity else "",
                    "method": method,
                    "credential": identity.credential if identity else "",
                    "endpoint": endpoint,
                    "model": model,
                    "policy": policy,
                    "exceeded": [f"{limit.scope} {limit.name}" for limit in limits if not limit.shadow],
                    "shadowed": [f"{limit.scope} {limit.name}" for limit in limits if limit.shadow],
                    **_inspected(found),
                    "us": round(seconds * 1e6),
                    "level": "info",
                    "timestamp": datetime.fromtimestamp(at, UTC),
                }
                lines.append(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z))
        if lines:
            self._stream.write(b"".join(lines))
            self._stream.flush()

    def response(self, request_id: str, outcome: str, failure: str, coverage: Coverage) -> None:
        """Count and log one processed response."""
        self._responses.labels(outcome, coverage.format, failure).inc()
        self._scanned.labels(coverage.format).inc(coverage.scanned_bytes)
        self._skipped.labels(coverage.format).inc(coverage.skipped_bytes)
        for (entity, action), count in coverage.findings.items():
            self._findings.labels(entity, action).inc(count)
        self.log.info("response", request_id=request_id, outcome=outcome, failure=failure, coverage=coverage.header())

    def settlement(self, outcome: str, lies: int) -> None:
        """A reservation was settled, or could not be: then what was reserved stands."""
        self._settlements.labels(outcome).inc()
        if lies:
            self._lies.inc(lies)
        if lies or outcome != "settled":
            self.log.warning("settlement", outcome=outcome, usage_refused=lies)

    def extension(self, why: str, outcome: str) -> None:
        """A stream asked for more than its reservation held ("growth"), or for more time ("renewal")."""
        self._extensions.labels(why, outcome).inc()

    def waiting(self, endpoint: str, priority: Priority, change: int) -> None:
        """One more waits here for a place (+1), or one less (-1)."""
        self._depth.labels(endpoint, priority).inc(change)

    def queued(self, endpoint: str, priority: Priority, outcome: Outcome, seconds: float) -> None:
        """One who asked for a place got it, or did not."""
        if outcome == "granted":
            self._wait.labels(endpoint, priority).observe(seconds)
        else:
            self._overloads.labels(endpoint, priority, outcome).inc()

    def place(self, step: str, answered: bool) -> None:
        """A place was to be renewed or given back; where the store does not answer, it lapses with its lease."""
        self._places.labels(step, "yes" if answered else "no").inc()

    def stream(self, change: int) -> None:
        """A Process stream opened (+1) or ended (-1)."""
        self._streams.inc(change)

    def reveal(self, outcome: str) -> None:
        """Somebody asked what stands behind a pseudonym: "revealed", or the reason of a refusal."""
        self._reveals.labels(outcome).inc()

    def held(self, seconds: float) -> None:
        """A piece of a streamed text has left, so long after it came."""
        self._held.observe(seconds)

    def heartbeat(self) -> None:
        """A comment was put into an event stream that was silent."""
        self._heartbeats.inc()

    def store(self, state: State) -> None:
        """The limit store is out, or counts again. What a probe finds in between is not told."""
        exact = state == "closed"
        if state == "half_open" or exact is self._exact:
            return
        self._exact = exact
        self._store.set(exact)
        if exact:
            self.log.info("the limit store counts again")
        else:
            self.log.warning("the limit store is out, the policy's on_outage holds")

    def keys(self, state: str) -> None:
        """What is known of the API keys in the store: "current", "old" while it is out, or "none"."""
        self._keys.set(state == "current")
        if state == "current":
            self.log.info("the API keys are those of the store")
        else:
            self.log.warning("the key store does not answer", keys=state)

    def revocations(self, state: str) -> None:
        """What is known of the revoked tokens in the store: "current", "old" while it is out, or "none"."""
        self._revoked.set(state == "current")
        if state == "current":
            self.log.info("the revoked tokens are those of the store")
        else:
            self.log.warning("the list of revoked tokens does not answer", revocations=state)

    def store_silent(self, reason: str) -> None:
        """The limit store does not answer when the process starts."""
        self.log.warning("the limit store does not answer yet", reason=reason)

    def store_spared(self) -> None:
        """A refusal was repeated without asking the limit store."""
        self._spared.inc()

    def audit_written(self, records: int) -> None:
        """Audit records were kept."""
        self._audited.inc(records)

    def audit_lost(self, records: int) -> None:
        """Audit records were given up."""
        self._unaudited.inc(records)

    def audit_state(self, available: bool, why: str) -> None:
        """The audit log cannot be written, or can again."""
        self._audit.set(available)
        if available:
            self.log.info("the audit log is written")
        else:
            self.log.error("the audit log cannot be written", why=why)

    def audit_head(self, writer: str, head: Head, why: str) -> None:
        """Where the chain of audit records ends: kept elsewhere, it shows whether its end was cut off."""
        self.log.info("audit head", head=f"{writer}:{head.seq}:{head.hash}", why=why)

    def error(self, failure: Exception) -> None:
        """An unexpected exception that became a deny. Its type and place, not its text: text may quote input."""
        trace = failure.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = f"{trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}" if trace else ""
        self._errors.labels(type(failure).__name__).inc()
        self.log.error("unexpected", type=type(failure).__name__, place=place)

    def policy(self, policy: Policy) -> None:
        """A policy came into force."""
        self._moderation.follow([*policy.spotters, *(one for each in policy.endpoints for one in each.spotters)])
        self._policy_info.clear()
        self._policy_info.labels(policy.version).set(1)
        anonymous = [endpoint.name for endpoint in policy.endpoints if endpoint.anonymous]
        self._anonymous.set(len(anonymous))
        self.log.info("policy in force", policy=policy.version, endpoints=len(policy.endpoints), anonymous=anonymous)

    def certificates(self) -> None:
        """Handshakes show other TLS files from now on."""
        self._certificates.labels("taken").inc()
        self.log.info("TLS files taken")

    def certificates_refused(self, error: SettingsError) -> None:
        """TLS files have changed and cannot be used; the old ones stay."""
        self._certificates.labels("refused").inc()
        self.log.error("TLS files refused, the old ones stay", problem=str(error))

    def policy_refused(self, error: PolicyError) -> None:
        """A reload was refused; the old policy stays."""
        self._reload_failures.inc()
        self.log.error("policy refused, the old one stays", problems=[str(problem) for problem in error.problems])


def _inspected(found: Inspection | None) -> dict[str, Any]:
    """What the log says of a request's body, where it was looked at."""
    if found is None:
        return {}
    return {
        "prompt_findings": {f"{entity}:{action}": count for (entity, action), count in found.findings.items()},
        "prompt_unread": dict(found.unread),
        "prompt_fault": found.fault,
        "prompt_scores": dict(found.scores),
    }
