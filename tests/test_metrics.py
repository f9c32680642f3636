"""docs/metrics.md is what a worker publishes, and no caller can make a series."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from tidegate.admission.open import open_ledger
from tidegate.admission.outage import State
from tidegate.clock import SystemClock
from tidegate.demo.redis_server import RedisServer
from tidegate.filtering.formats import Coverage
from tidegate.laps import PHASES, Lap, Phase, Watch
from tidegate.model import Admission, Allow, Charge, Decision, Deny, Identity, Limit, LimitState, Reason, Request
from tidegate.policy.load import parse_policy
from tidegate.telemetry import Telemetry

from tests import metrics_reference
from tests.e2e.keys import POLICY


class Hands:
    """Two clocks that move by hand."""

    def __init__(self) -> None:
        self.at = 1000.0

    def now(self) -> float:
        return 1_700_000_000.0 + self.at

    def monotonic(self) -> float:
        return self.at


def fresh(clock: Hands | None = None) -> Telemetry:
    return Telemetry(clock=clock or Hands(), stream=io.BytesIO())


def series_of(telemetry: Telemetry) -> set[tuple[str, frozenset[tuple[str, str]]]]:
    page = generate_latest(telemetry.registry).decode()
    return {
        (sample.name, frozenset(sample.labels.items()))
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def test_the_page_is_what_a_worker_publishes(capsys: pytest.CaptureFixture[str]) -> None:
    assert metrics_reference.main([]) == 0, capsys.readouterr().err


def test_everything_that_is_registered_is_described_with_its_type_and_labels() -> None:
    telemetry = fresh()
    families = {family.name: family for family in telemetry.registry.collect()}
    told = {one.name.removesuffix("_total"): one for one in telemetry.metrics.described}
    assert told.keys() == families.keys()
    assert len(told) == len(telemetry.metrics.described)
    for name, one in told.items():
        assert (one.kind, one.meaning) == (families[name].type, families[name].documentation)


def test_a_page_that_is_old_is_told_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "metrics.md"
    monkeypatch.setattr(metrics_reference, "FILE", file)
    assert metrics_reference.main([]) == 1
    assert "python -m tests.metrics_reference --write" in capsys.readouterr().err
    assert metrics_reference.main(["--write"]) == 0
    assert file.read_text() == metrics_reference.reference()


TEXT = st.text(max_size=40)
LIMIT = Limit("tier:free", "rpm", "sliding_window", 1, 60.0)
FULL = Admission((LimitState(LIMIT, 0, 9.0, 2.0),), LimitState(LIMIT, 0, 9.0, 2.0))
ROOM = Admission((LimitState(LIMIT, 5, 9.0),))


@st.composite
def decisions(draw: st.DrawFn) -> Decision:
    """What callers choose is any text; what the policy or the code chooses is one of a few."""
    caller = Identity(draw(TEXT), draw(st.sampled_from(["acme", "beta"])), "free", "jwt", credential=draw(TEXT))
    request = Request(draw(TEXT), draw(TEXT), draw(TEXT), draw(TEXT), headers={draw(TEXT): draw(TEXT)})
    laps = tuple(Lap(phase, 0.0, 0.1) for phase in PHASES[: draw(st.integers(0, len(PHASES)))])
    if draw(st.booleans()):
        return Decision(
            *(request, Allow(caller, "chat", draw(TEXT), (), ROOM), "p", caller, "chat", draw(TEXT), ROOM),
            laps=laps,
            tier="free",
        )
    endpoint = draw(st.sampled_from(["", "chat"]))
    # A token's tier may be anything; that of the decision is one of the policy's.
    who = draw(st.sampled_from([caller, Identity(draw(TEXT), draw(TEXT), draw(TEXT), "jwt")]))
    deny = Deny(403, draw(st.sampled_from(list(Reason))), draw(TEXT), detail=draw(TEXT))
    full = FULL if endpoint else None
    tier = draw(st.sampled_from(["", "free"]))
    return Decision(request, deny, "p", who, endpoint, draw(TEXT), full, laps=laps, tier=tier)


@settings(max_examples=60, deadline=None)
@given(st.lists(decisions(), max_size=20), st.lists(TEXT, max_size=5))
def test_no_text_of_a_caller_is_a_label(made: list[Decision], ids: list[str]) -> None:
    telemetry = Telemetry(clock=Hands(), level="warning", stream=io.BytesIO())
    for decision in made:
        # One waits, so that no event loop is needed.
        telemetry.decisions._waiting.append(("", None))  # type: ignore[arg-type]
        telemetry.decisions.record(decision, 0.001)
        telemetry.decisions._waiting = [one for one in telemetry.decisions._waiting if one[1] is not None]
    telemetry.decisions.flush()
    for request_id in ids:
        for skipped in ({}, {"number": 1}, {f"policy/{request_id}": 1}):
            receipt = Coverage("json", 0, 1, 0, 0, MappingProxyType(skipped), {})
            telemetry.responses.record(request_id, "passed", "", receipt)
    closed: Mapping[str, set[str]] = {
        "outcome": {"allow", "deny", "passed", "closed", "open", "half_open"},
        "phase": {"", "edge", "filter", *PHASES},
        "reason": {"", *map(str, Reason), "within", "number", "policy"},
        "endpoint": {"", "chat"},
        "tier": {"", "free"},
        "method": {"", "jwt"},
        "enforcement": {"exact", "none", "share"},
    }
    for name, labels in series_of(telemetry):
        for label, value in labels:
            if label in closed:
                assert value in closed[label], (name, label, value)


async def test_a_refusal_is_counted_in_the_phase_that_it_ended_in() -> None:
    telemetry = fresh()
    request, deny = Request("r", "POST", "h", "/"), Deny(401, Reason.CREDENTIAL_MISSING, "No.")
    gone: tuple[tuple[Phase, ...], ...] = ((), ("identify",), ("identify", "authorize", "admit"))
    for phases in gone:
        laps = tuple(Lap(phase, 1.0, 1.5) for phase in phases)
        telemetry.decisions.record(Decision(request, deny, "p", laps=laps), 0.001)
    telemetry.decisions.flush()

    def count(name: str, **labels: str) -> float:
        found = [
            sample.value
            for family in telemetry.registry.collect()
            for sample in family.samples
            if sample.name == f"tidegate_{name}" and labels.items() <= sample.labels.items()
        ]
        return sum(found)

    assert [count("decisions_total", phase=phase) for phase in ("edge", "identify", "authorize", "admit")] == [
        1,
        1,
        0,
        1,
    ]
    assert [count("phase_seconds_count", phase=phase) for phase in ("identify", "authorize", "admit")] == [2, 1, 1]
    assert count("phase_seconds_sum", phase="identify") == 1.0


@pytest.mark.parametrize(
    ("receipt", "why"),
    [
        (Coverage("json", 60, 40, 3, 1, {"number": 1}, {}), "within"),
        (Coverage("json", 0, 40, 0, 2, {"number": 1, "policy/a/b": 1}, {}), "within"),
        (Coverage("json", 0, 40, 0, 1, {"policy/a/b": 1}, {}), "policy"),
        (Coverage("json", 0, 40, 0, 0, {}, {}, "malformed"), "malformed"),
        (Coverage("none", 0, 40, 0, 0, {"unsupported_type": 1}, {}), "unsupported_type"),
    ],
)
def test_bytes_that_nobody_read_are_counted_by_why_and_fields_by_the_receipts_reasons(
    receipt: Coverage, why: str
) -> None:
    telemetry = Telemetry(clock=Hands(), level="warning", stream=io.BytesIO())
    for _ in range(2):
        telemetry.responses.record("r", "passed", receipt.failure, receipt)
    value, kind = telemetry.registry.get_sample_value, {"format": receipt.format}
    assert value("tidegate_skipped_bytes_total", {**kind, "reason": why}) == 80
    told = {"policy" if reason.startswith("policy/") else reason: 2 * n for reason, n in receipt.skipped.items()}
    for reason, count in told.items():
        assert value("tidegate_skipped_fields_total", {**kind, "reason": reason}) == count


def test_a_watch_gives_every_moment_to_one_phase() -> None:
    clock = Hands()
    watch = Watch(clock.monotonic)
    assert watch.stop() == ()
    for phase, took in (("identify", 0.5), ("authorize", 0.0), ("admit", 2.0)):
        watch.begin(phase)  # type: ignore[arg-type]
        clock.at += took
    laps = watch.stop()
    assert [(lap.phase, lap.seconds) for lap in laps] == [("identify", 0.5), ("authorize", 0.0), ("admit", 2.0)]
    assert [lap.end for lap in laps[:-1]] == [lap.start for lap in laps[1:]]


def test_the_breaker_shows_one_state() -> None:
    telemetry = fresh()
    states: tuple[State, ...] = ("closed", "open", "half_open")
    for state in (*states, "closed"):
        telemetry.limits.store(state)
        shown = {
            each: telemetry.registry.get_sample_value("tidegate_store_breaker", {"state": each}) for each in states
        }
        assert shown == {each: float(each == state) for each in states}


def test_what_a_response_cost_too_much_is_added_up_by_unit() -> None:
    telemetry = fresh()
    for unit, amount in (("tokens", 5), ("tokens", 7), ("money", 1)):
        telemetry.limits.overshoot(unit, amount)
    value = telemetry.registry.get_sample_value
    assert [value("tidegate_overshoot_total", {"unit": unit}) for unit in ("tokens", "money")] == [12, 1]


def test_the_age_of_the_policy_is_read_off_the_clock_and_begins_anew_with_the_next() -> None:
    clock = Hands()
    telemetry = fresh(clock)
    value = telemetry.registry.get_sample_value
    assert value("tidegate_policy_age_seconds") is None
    for loaded in (1000.0, 1500.0):
        clock.at = loaded
        telemetry.upkeep.policy(parse_policy(POLICY))
        clock.at += 60.0
        assert value("tidegate_policy_age_seconds") == 60.0
        assert value("tidegate_policy_loaded_timestamp_seconds") == 1_700_000_000.0 + loaded


def test_what_the_certificates_say_is_shown_as_it_is_now() -> None:
    telemetry = fresh()
    name = "tidegate_certificate_not_after_timestamp_seconds"
    assert telemetry.registry.get_sample_value(name, {"file": "server"}) is None
    for end in (1.0, 2.0):
        telemetry.upkeep.certificate_ends = lambda end=end: (("server", end),)  # type: ignore[misc]
        assert telemetry.registry.get_sample_value(name, {"file": "server"}) == end


async def test_each_batch_of_calls_to_redis_is_timed_by_how_it_went(tmp_path: Path) -> None:
    told: list[str] = []
    server = RedisServer(tmp_path)
    server.start()
    ledger = await open_ledger(server.url, clock=SystemClock(), timeout=5.0, on_batch=lambda how, _: told.append(how))
    try:
        assert (await ledger.reserve([Charge(LIMIT, "k", 1)])).refused is None
        assert set(told) == {"answered"}
        server.stop()
        await ledger.reserve([Charge(LIMIT, "k", 1)])
        assert "failed" in told
    finally:
        await ledger.close()
        server.stop()


def test_the_tasks_of_the_loop_are_those_of_now() -> None:
    telemetry = fresh()
    counts = iter([5, 7])
    telemetry.upkeep.tasks = lambda: next(counts)
    assert [telemetry.registry.get_sample_value("tidegate_tasks") for _ in range(2)] == [5.0, 7.0]
