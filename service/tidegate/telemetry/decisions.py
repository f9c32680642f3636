"""What is said of decisions: counted and logged in batches, because a system call for each was a fifth of a Check."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime
from typing import Any, BinaryIO

import orjson

from tidegate.clock import Clock
from tidegate.laps import Lap, Phase
from tidegate.metrics import SECONDS, Metrics
from tidegate.model import Allow, Decision, Identity, Inspection, Limit, exceeded

_SCORES = (0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0)
_FLUSH = 0.05  # seconds
_Line = tuple[
    str, str, str, Identity | None, str, str, tuple[Limit, ...], float, float, Inspection | None, tuple[Lap, ...]
]


class Decisions:
    """Counts each decision and, where `verbose`, writes its line to `stream`."""

    def __init__(self, metrics: Metrics, *, clock: Clock, stream: BinaryIO, verbose: bool) -> None:
        self._clock = clock
        self._stream = stream
        self._verbose = verbose
        self._waiting: list[tuple[tuple[str, ...], _Line]] = []
        self._decisions = metrics.counter(
            "decisions",
            "Decisions; `phase` is the one that refused, `edge` before any began",
            ("outcome", "phase", "reason", "endpoint", "tier", "enforcement", "method"),
        )
        self._decision_seconds = metrics.histogram("decision_seconds", "Time to decide", SECONDS)
        self.phase_seconds = metrics.histogram(
            "phase_seconds", "Time in each phase of a decision, and in filtering a response", SECONDS, ("phase",)
        )
        self._by_phase: dict[Phase, Any] = {}
        self._prompt_findings = metrics.counter("prompt_findings", "Values found in requests", ("entity", "action"))
        self._scores = metrics.histogram(
            "prompt_injection_score", "Scores of injection, 0 to 1", _SCORES, ("endpoint", "role")
        )
        self._exceeded = metrics.counter(
            "limits_exceeded", "Requests that a limit had no room for", ("scope", "limit", "shadow")
        )

    def record(self, decision: Decision, seconds: float) -> None:
        """Count and log one decision, within 50 ms: together with others it costs half (measured)."""
        verdict, identity, admission = decision.verdict, decision.identity, decision.admission
        if isinstance(verdict, Allow):
            outcome, phase, reason, detail, rule = "allow", "", "", "", ""
        else:
            phase = decision.laps[-1].phase if decision.laps else "edge"
            outcome, reason, detail, rule = "deny", str(verdict.reason), verdict.detail, verdict.rule
        enforcement = admission.enforcement if admission else "none"
        method = identity.method if identity else ""
        labels = (outcome, phase, reason, decision.endpoint, decision.tier, enforcement, method)
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
        for kind, count in Counter([labels for labels, _ in waiting]).items():
            self._decisions.labels(*kind).inc(count)
        for labels, (request_id, detail, rule, identity, model, policy, limits, seconds, at, found, laps) in waiting:
            self._decision_seconds.observe(seconds)
            for lap in laps:
                self._seconds_of(lap.phase).observe(lap.seconds)
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

    def _seconds_of(self, phase: Phase) -> Any:
        """The histogram of one phase: to look it up by its label costs as much as to observe."""
        found = self._by_phase.get(phase)
        if found is None:
            found = self._by_phase[phase] = self.phase_seconds.labels(phase)
        return found


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
