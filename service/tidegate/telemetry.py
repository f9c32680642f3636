"""What we say of ourselves: metrics for Prometheus and one structured line a decision. Never a credential, never text.

Labels take only values from the policy or from closed lists, so cardinality is bounded by the policy, not by callers.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, BinaryIO, Literal, get_args

import orjson
import structlog

from tidegate.admission.outage import State
from tidegate.admission.queue.fair_queue import Outcome
from tidegate.admission.queue.terms import Priority
from tidegate.audit.chain import Head
from tidegate.clock import Clock
from tidegate.errors import PolicyError
from tidegate.filtering.formats import Coverage
from tidegate.filtering.safety.meter import MODERATION, ModerationMeter
from tidegate.laps import Lap
from tidegate.metrics import Metrics
from tidegate.model import Allow, Decision, Identity, Inspection, Limit, exceeded
from tidegate.policy.compiled import Policy
from tidegate.settings import SettingsError

_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
_HELD = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SCORES = (0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0)
_FLUSH = 0.05  # seconds
_Line = tuple[
    str, str, str, Identity | None, str, str, tuple[Limit, ...], float, float, Inspection | None, tuple[Lap, ...]
]
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
        self.metrics = Metrics()
        self.registry = self.metrics.registry
        self.certificate_ends: Callable[[], Iterable[tuple[str, float]]] = tuple
        self._in_force: float | None = None
        self._clock = clock
        self._stream = stream or sys.stderr.buffer
        self._verbose = _LEVELS[level] <= _LEVELS["info"]
        self._exact = True
        self._waiting: list[tuple[tuple[str, ...], _Line]] = []
        self.log = logger(level, self._stream)
        self._declare_decisions()
        self._declare_responses()
        self._declare_limits()
        self._declare_process()

    def _declare_decisions(self) -> None:
        new = self.metrics
        self._decisions = new.counter(
            "decisions",
            "Decisions; `phase` is the one that refused, `edge` before any began",
            ("outcome", "phase", "reason", "endpoint", "tier", "enforcement", "method"),
        )
        self._decision_seconds = new.histogram("decision_seconds", "Time to decide", _SECONDS)
        self._phase_seconds = new.histogram(
            "phase_seconds", "Time in each phase of a decision, and in filtering a response", _SECONDS, ("phase",)
        )
        self._prompt_findings = new.counter("prompt_findings", "Values found in requests", ("entity", "action"))
        self._scores = new.histogram(
            "prompt_injection_score", "Scores of injection, 0 to 1", _SCORES, ("endpoint", "role")
        )
        self._reveals = new.counter("reveals", "Calls to turn a pseudonym back", ("outcome",))
        self._errors = new.counter("errors", "Unexpected exceptions, all answered by deny", ("type",))

    def _declare_responses(self) -> None:
        new = self.metrics
        self._responses = new.counter("responses", "Responses processed", ("outcome", "format", "failure"))
        self._scanned = new.counter("scanned_bytes", "Response bytes read by detectors", ("format",))
        self._skipped = new.counter("skipped_bytes", "Response bytes not read by detectors", ("format",))
        self._findings = new.counter("findings", "Values found in responses", ("entity", "action"))
        self._streams = new.gauge("streams", "Process streams open now")
        self._held = new.histogram(
            "hold_back_seconds", "Time from when a piece of streamed text came to when the last of it left", _HELD
        )
        self._first = new.histogram(
            "first_text_added_seconds", "How much later the first text of a stream left than it came", _HELD
        )
        self._heartbeats = new.counter("heartbeats", "Comments, or lines without text, put into silent streams")
        self._moderation = ModerationMeter()
        new.collector(self._moderation, *MODERATION)

    def _declare_limits(self) -> None:
        new = self.metrics
        self._exceeded = new.counter(
            "limits_exceeded", "Requests that a limit had no room for", ("scope", "limit", "shadow")
        )
        self._settlements = new.counter("settlements", "Reservations settled after the response", ("outcome",))
        self._overshoot = new.counter(
            "overshoot", "What responses cost beyond what was held for them; money in millionths", ("unit",)
        )
        self._extensions = new.counter("extensions", "Reservations extended while they ran", ("why", "outcome"))
        self._lies = new.counter("usage_refused", "Figures of a response's usage that were not believed")
        self._store = new.gauge("store_exact", "1 while the limit store counts, 0 while it is out")
        self._breaker = new.gauge("store_breaker", "1 for the state of the breaker before the limit store", ("state",))
        self._store_seconds = new.histogram(
            "store_seconds",
            "Time from when a batch of calls went to the limit store to its answer",
            _SECONDS,
            ("outcome",),
        )
        self._spared = new.counter("store_calls_spared", "Refusals repeated without asking the store")
        line = ("endpoint", "priority")
        self._depth = new.gauge("queue_waiting", "Exchanges that wait here for a place in an endpoint", line)
        self._wait = new.histogram("queue_wait_seconds", "Wait of those who got a place", _SECONDS, line)
        self._overloads = new.counter(
            "queue_refusals", "Exchanges that got no place in their endpoint", (*line, "outcome")
        )
        self._places = new.counter("place_steps", "Places renewed and given back", ("step", "answered"))
        self._store.set(1)
        self._show_breaker("closed")

    def _declare_process(self) -> None:
        new = self.metrics
        self._policy_info = new.gauge("policy_info", "1 for the policy version in force", ("version",))
        self._loaded = new.gauge("policy_loaded_timestamp_seconds", "When the policy in force was loaded, Unix time")
        new.read("policy_age_seconds", "For how long the policy has been in force", self._policy_age)
        self._reload_failures = new.counter("policy_reload_failures", "Policy reloads refused")
        self._anonymous = new.gauge("anonymous_endpoints", "Endpoints that need no credential")
        self._keys = new.gauge("keys_current", "0 while the store of the API keys is out")
        self._revoked = new.gauge("revocations_current", "0 while the list of revoked tokens is out")
        self._certificates = new.counter("certificate_reloads", "TLS files that had changed", ("outcome",))
        new.read(
            "certificate_not_after_timestamp_seconds",
            "When the first certificate of a TLS file expires, Unix time",
            lambda: self.certificate_ends(),
            "file",
        )
        self._audited = new.counter("audit_records", "Audit records that were kept")
        self._unaudited = new.counter("audit_lost", "Audit records that could not be kept")
        self._audit = new.gauge("audit_available", "0 while the audit log cannot be written")
        self._keys.set(1)
        self._revoked.set(1)

    def _policy_age(self) -> Iterable[tuple[str, float]]:
        return () if self._in_force is None else (("", self._clock.monotonic() - self._in_force),)

    def decision(self, decision: Decision, seconds: float) -> None:
        """Count and log one decision, within 50 ms: together with others it costs half (measured)."""
        verdict, identity, admission = decision.verdict, decision.identity, decision.admission
        if isinstance(verdict, Allow):
            outcome, phase, reason, detail, rule = "allow", "", "", "", ""
        else:
            phase = decision.laps[-1].phase if decision.laps else "edge"
            outcome, reason, detail, rule = "deny", str(verdict.reason), verdict.detail, verdict.rule
        endpoint = decision.endpoint
        tier = identity.tier if identity and (endpoint or not reason) else ""
        enforcement = admission.enforcement if admission else "none"
        labels = (outcome, phase, reason, endpoint, tier, enforcement, identity.method if identity else "")
        limits: tuple[Limit, ...] = ()
        if admission and (admission.refused or admission.shadowed):
            limits = (*exceeded(admission), *[state.limit for state in admission.shadowed])
        now = self._clock.now()
        what = (decision.request.id, detail, rule, identity, decision.model, decision.policy)
        line = (*what, limits, seconds, now, decision.inspection, decision.laps)
        self._waiting.append((labels, line))
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_later(_FLUSH, self.flush)

    def flush(self) -> None:
        """Count and write the decisions that wait; called while there are any, and at the end of the process."""
        waiting, self._waiting = self._waiting, []
        lines = []
        for labels, (request_id, detail, rule, identity, model, policy, limits, seconds, at, found, laps) in waiting:
            self._decisions.labels(*labels).inc()
            self._decision_seconds.observe(seconds)
            for lap in laps:
                self._phase_seconds.labels(lap.phase).observe(lap.seconds)
            for limit in limits:
                self._exceeded.labels(limit.scope, limit.name, "true" if limit.shadow else "false").inc()
            if found is not None:
                for (entity, action), count in found.findings.items():
                    self._prompt_findings.labels(entity, action).inc(count)
                for role, score in found.scores.items():
                    self._scores.labels(labels[3], role).observe(score)
            if self._verbose:
                outcome, phase, reason, endpoint, _, _, method = labels
                line = {
                    "event": "decision",
                    "request_id": request_id,
                    "outcome": outcome,
                    "phase": phase,
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

    def overshoot(self, unit: str, amount: int) -> None:
        """A response had cost so much more than was held for it."""
        self._overshoot.labels(unit).inc(amount)

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

    def once(self, what: Literal["first", "work"], seconds: float) -> None:
        """How much later a stream's "first" text left than it came, or how long we were at "work" on a response."""
        (self._first if what == "first" else self._phase_seconds.labels("filter")).observe(seconds)

    def heartbeat(self) -> None:
        """A comment was put into an event stream that was silent."""
        self._heartbeats.inc()

    def store(self, state: State) -> None:
        """The limit store is out, or counts again. What a probe finds in between is not told."""
        self._show_breaker(state)
        exact = state == "closed"
        if state == "half_open" or exact is self._exact:
            return
        self._exact = exact
        self._store.set(exact)
        if exact:
            self.log.info("the limit store counts again")
        else:
            self.log.warning("the limit store is out, the policy's on_outage holds")

    def _show_breaker(self, state: State) -> None:
        for each in get_args(State):
            self._breaker.labels(each).set(each == state)

    def store_batch(self, outcome: str, seconds: float) -> None:
        """A batch of calls to the limit store was "answered", was "late", or "failed"."""
        self._store_seconds.labels(outcome).observe(seconds)

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
        self._in_force = self._clock.monotonic()
        self._loaded.set(self._clock.now())
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
