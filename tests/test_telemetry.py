"""What is said of limits and of their store."""

from __future__ import annotations

import io
import json

from tidegate.clock import SystemClock
from tidegate.filtering.formats import Coverage
from tidegate.model import Admission, Allow, Decision, Deny, Identity, Limit, LimitState, Reason, Request
from tidegate.telemetry import Telemetry


def test_the_calls_that_the_store_was_spared_are_counted() -> None:
    telemetry = Telemetry(clock=SystemClock(), stream=io.BytesIO())
    for _ in range(3):
        telemetry.limits.store_spared()
    assert telemetry.registry.get_sample_value("tidegate_store_calls_spared_total") == 3


def test_an_outage_is_told_once_and_so_is_its_end() -> None:
    stream = io.BytesIO()
    telemetry = Telemetry(clock=SystemClock(), stream=stream)
    exact = lambda: telemetry.registry.get_sample_value("tidegate_store_exact")  # noqa: E731
    assert exact() == 1
    for state in ("open", "half_open", "open"):
        telemetry.limits.store(state)
        assert exact() == 0
    telemetry.limits.store("half_open")
    telemetry.limits.store("closed")
    assert exact() == 1
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["level"], line["event"]) for line in lines] == [
        ("warning", "the limit store is out, the policy's on_outage holds"),
        ("info", "the limit store counts again"),
    ]


async def test_who_had_no_room_is_counted_and_logged_shadow_limits_beside_the_others() -> None:
    stream = io.BytesIO()
    telemetry = Telemetry(clock=SystemClock(), stream=stream)
    rpm = Limit("tier:free", "rpm", "sliding_window", 1, 60.0)
    tpm = Limit("tier:free", "tpm", "sliding_window", 1, 60.0, cost="tokens")
    trial = Limit("tenant:acme", "trial", "sliding_window", 1, 60.0, shadow=True)
    ada = Identity("ada", "acme", "free", "api_key")
    full, over = LimitState(tpm, 9, 1.0), LimitState(rpm, 0, 9.0, 2.0)
    would = (LimitState(trial, 0, 9.0, 3.0),)
    allowed = Admission((full,), shadowed=would)
    refused = Admission((full, over), over, shadowed=would)
    request = Request("r", "POST", "h", "/")
    allow = Allow(ada, "chat", "", (), allowed)
    deny = Deny(429, Reason.LIMIT_EXCEEDED, "No.", detail="rpm")
    for verdict, admission in ((allow, allowed), (deny, refused), (allow, Admission((full,)))):
        telemetry.decisions.record(Decision(request, verdict, "p", ada, "chat", "", admission), 0.001)
    telemetry.decisions.flush()

    def count(limit: Limit) -> float | None:
        labels = {"scope": limit.scope, "limit": limit.name, "shadow": str(limit.shadow).lower()}
        return telemetry.registry.get_sample_value("tidegate_limits_exceeded_total", labels)

    assert (count(rpm), count(tpm), count(trial)) == (1, None, 2)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["outcome"], line["exceeded"], line["shadowed"]) for line in lines] == [
        ("allow", [], ["tenant:acme trial"]),
        ("deny", ["tier:free rpm"], ["tenant:acme trial"]),
        ("allow", [], []),
    ]


async def test_responses_are_counted_at_once_and_logged_together() -> None:
    stream = io.BytesIO()
    telemetry = Telemetry(clock=SystemClock(), stream=stream)
    receipt = Coverage("json", 90, 10, 3, 0, {}, {("EMAIL", "redact"): 1})
    for request_id in ("r1", "r2"):
        telemetry.responses.record(request_id, "rewritten", "", receipt)
    labels = {"outcome": "rewritten", "format": "json", "failure": ""}
    assert telemetry.registry.get_sample_value("tidegate_responses_total", labels) == 2
    assert telemetry.registry.get_sample_value("tidegate_scanned_bytes_total", {"format": "json"}) == 180
    assert stream.getvalue() == b""
    telemetry.responses.flush()
    telemetry.responses.flush()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["event"], line["request_id"], line["level"]) for line in lines] == [
        ("response", "r1", "info"),
        ("response", "r2", "info"),
    ]
    assert lines[0]["coverage"] == receipt.header()


async def test_a_refusal_of_authorization_is_logged_with_its_rule() -> None:
    stream = io.BytesIO()
    telemetry = Telemetry(clock=SystemClock(), stream=stream)
    deny = Deny(403, Reason.MODEL_NOT_ALLOWED, "No.", rule="models of the tier")
    telemetry.decisions.record(Decision(Request("r", "POST", "h", "/"), deny, "p", None, "chat", "large"), 0.001)
    telemetry.decisions.flush()
    (line,) = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert (line["reason"], line["rule"]) == ("model_not_allowed", "models of the tier")


def test_the_queue_tells_its_depth_its_waits_and_whom_it_refused() -> None:
    telemetry = Telemetry(clock=SystemClock(), stream=io.BytesIO())
    where = {"endpoint": "chat", "priority": "sheddable"}
    value = telemetry.registry.get_sample_value
    for change in (1, 1, -1):
        telemetry.limits.waiting("chat", "sheddable", change)
    telemetry.limits.queued("chat", "sheddable", "granted", 0.02)
    telemetry.limits.queued("chat", "sheddable", "shed", 0.01)
    telemetry.limits.place("leave", False)
    assert value("tidegate_queue_waiting", where) == 1
    assert value("tidegate_queue_wait_seconds_count", where) == 1
    assert value("tidegate_queue_wait_seconds_sum", where) == 0.02
    assert value("tidegate_queue_refusals_total", {**where, "outcome": "shed"}) == 1
    assert value("tidegate_place_steps_total", {"step": "leave", "answered": "no"}) == 1
