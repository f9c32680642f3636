"""How long what a policy names may last: durations, each with its bounds."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator

from tidegate.admission.queue.terms import MAX_WAIT
from tidegate.policy.durations import DAY, DURATION_PATTERN, MAX_WINDOW, bounded, parse_duration
from tidegate.policy.words import text_like


def _within(low: float, high: float, told: str) -> BeforeValidator:
    return BeforeValidator(lambda value: bounded(parse_duration(value), low, high, told))


def _heartbeat(value: object) -> float:
    seconds = parse_duration(value)
    return bounded(seconds, 1, 3600, "1s to 1h, or 0s") if seconds else 0.0


Window = Annotated[float, _within(1, MAX_WINDOW, "1s to 31d"), text_like(DURATION_PATTERN, "60s")]
Lease = Annotated[float, _within(1, DAY, "1s to 1d"), text_like(DURATION_PATTERN, "60s")]
Leeway = Annotated[float, _within(0, 60, "0s to 60s"), text_like(DURATION_PATTERN, "30s")]
QueueWait = Annotated[
    float,
    _within(0.001, MAX_WAIT, "1ms to 1s, half of what Envoy gives a decision"),
    text_like(DURATION_PATTERN, "150ms"),
]
Lifetime = Annotated[float, _within(1, MAX_WINDOW, "1s to 31d"), text_like(DURATION_PATTERN, "1h")]
ProofWindow = Annotated[float, _within(1, 300, "1s to 5m"), text_like(DURATION_PATTERN, "60s")]
CallTime = Annotated[float, _within(0.1, 30, "100ms to 30s"), text_like(DURATION_PATTERN, "2s")]
CacheTime = Annotated[float, _within(0, 300, "0s to 5m"), text_like(DURATION_PATTERN, "2s")]
ContextLifetime = Annotated[float, _within(5, 3600, "5s to 1h"), text_like(DURATION_PATTERN, "60s")]
ContextReuse = Annotated[float, _within(0, 3600, "0s to 1h"), text_like(DURATION_PATTERN, "30s")]
Heartbeat = Annotated[float, BeforeValidator(_heartbeat), text_like(DURATION_PATTERN, "15s")]
