"""When a silent service is not asked any more, and what is said in its place: the rule alone, and over the network."""

from __future__ import annotations

import asyncio
import threading
from contextlib import ExitStack
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate_client import AsyncTidegate, Breaker, CircuitOpen, Tidegate, TidegateInvalid, TidegateUnavailable
from tidegate_client.background import Background

from tests.client.scripted import Scripted
from tests.client.test_retry import Now
from tests.client.world import FREE, HOST, Awaited, World, free_port, held, make_servicer, serving

SILENT = TidegateUnavailable("UNAVAILABLE", "made up")


def play(breaker: Breaker, failure: BaseException | None) -> bool:
    """One call that ends so; whether it was sent."""
    try:
        with breaker.call():
            if failure is not None:
                raise failure
    except CircuitOpen:
        return False
    except (Exception, asyncio.CancelledError) as raised:  # noqa: BLE001 - it is what was asked for
        assert raised is failure
    return True


def test_it_opens_after_failures_in_a_row_and_one_call_finds_out() -> None:
    now = Now()
    breaker = Breaker(failures=3, cooldown=2.0, now=now)
    assert [play(breaker, failure) for failure in (SILENT, SILENT, None, SILENT, SILENT, SILENT)] == [True] * 6
    assert breaker.is_open
    assert not play(breaker, None)
    now.seconds += 1.999
    assert not play(breaker, None)
    now.seconds += 0.001
    assert play(breaker, SILENT)
    assert not play(breaker, None)
    now.seconds += 2
    with breaker.call():
        assert not play(breaker, None)  # one at a time
    assert not breaker.is_open
    assert play(breaker, SILENT)
    assert play(breaker, None)


@pytest.mark.parametrize(
    "failure",
    [TidegateInvalid("made up"), TidegateUnavailable("INTERNAL", "made up"), TidegateUnavailable("UNIMPLEMENTED", "")],
)
def test_an_error_is_an_answer(failure: Exception) -> None:
    breaker = Breaker(failures=1)
    assert all(play(breaker, failure) for _ in range(5))


def test_who_is_interrupted_learns_nothing_and_blocks_nobody() -> None:
    now = Now()
    breaker = Breaker(failures=1, cooldown=1.0, now=now)
    assert play(breaker, asyncio.CancelledError())
    assert not breaker.is_open
    play(breaker, TidegateUnavailable("DEADLINE_EXCEEDED", "made up"))
    now.seconds += 1
    assert play(breaker, asyncio.CancelledError())  # was the one that would have found out
    assert breaker.is_open
    assert play(breaker, None)
    assert not breaker.is_open


@given(st.integers(1, 4), st.lists(st.tuples(st.sampled_from([None, SILENT]), st.floats(0, 3)), max_size=60))
def test_never_more_silent_calls_than_allowed_within_a_cooldown(failures: int, calls: list[Any]) -> None:
    now = Now()
    breaker = Breaker(failures=failures, cooldown=1.0, now=now)
    silent: list[float] = []
    for failure, pause in calls:
        now.seconds += pause
        if play(breaker, failure):
            silent = [*silent, now.seconds] if failure else []
    for first, last in zip(silent[failures - 1 :], silent[failures:], strict=False):
        assert last - first >= 1.0 - 1e-9


@pytest.mark.parametrize(
    "options", [{"failures": 0}, {"cooldown": 0}, {"cooldown": float("nan")}, {"when_open": "open"}]
)
def test_wrong_settings_are_refused_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"failures|cooldown|when_open"):
        Breaker(**options)


@pytest.fixture(params=["async", "sync"])
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


def opened(stack: ExitStack, loop: Background, kind: str, target: str, **options: Any) -> Any:
    if kind == "sync":
        return stack.enter_context(Tidegate(target, **options))
    return Awaited(loop, stack.enter_context(held(loop, AsyncTidegate(target, **options))))


def test_over_the_network_nothing_is_sent_while_it_is_open(kind: str, loop: Background) -> None:
    now, service = Now(), Scripted(*[grpc.StatusCode.UNAVAILABLE] * 2)
    with ExitStack() as stack:
        target = stack.enter_context(held(loop, serving(service.handlers())))
        breaker = Breaker(failures=2, cooldown=5.0, now=now)
        gate = opened(stack, loop, kind, target, timeout=5, retries=0, breaker=breaker)
        for _ in range(2):
            with pytest.raises(TidegateUnavailable):
                gate.settle("r", 1)
        for call in (
            lambda: gate.settle("r", 1),
            lambda: gate.filter_text("x", rulesets=["pii"]),
            lambda: gate.consume("chat", FREE),
            lambda: list(gate.filter_stream(["x"], rulesets=["pii"])),
        ):
            with pytest.raises(CircuitOpen):
                call()
        verdict = gate.decide("GET", "/", host=HOST, request_id="r-1")
        assert (verdict.allowed, verdict.status, verdict.request_id) == (False, 503, "r-1")
        assert service.calls == ["Settle"] * 2
        now.seconds += 5
        assert gate.settle("r", 1)
        assert gate.filter_text("x", rulesets=["pii"]).text == "ok"


@pytest.mark.parametrize("on_unavailable", ["raise", "deny"])
def test_what_an_open_circuit_says_is_the_callers_choice(kind: str, loop: Background, on_unavailable: str) -> None:
    for when_open in ("deny", "allow", "raise"):
        with ExitStack() as stack:
            breaker = Breaker(failures=1, cooldown=60, when_open=when_open)  # type: ignore[arg-type]
            options: dict[str, Any] = {"timeout": 0.2, "on_unavailable": on_unavailable, "breaker": breaker}
            gate = opened(stack, loop, kind, f"127.0.0.1:{free_port()}", **options)
            with pytest.raises(TidegateUnavailable):
                gate.settle("r", 1)
            match when_open:
                case "deny":
                    assert gate.decide("GET", "/", host=HOST).status == 503
                case "allow":
                    verdict = gate.decide("GET", "/", host=HOST)
                    assert (verdict.allowed, verdict.unchecked, verdict.subject) == (True, True, "")
                    consumed = gate.consume("chat", FREE)
                    assert (consumed.admitted, consumed.enforcement) == (True, "none")
                case "raise":
                    with pytest.raises(CircuitOpen):
                        gate.decide("GET", "/", host=HOST)
            with pytest.raises(CircuitOpen):  # what may leave is never a guess
                gate.filter_text("x", rulesets=["pii"])


def test_threads_send_one_call_to_find_out(loop: Background, world: World) -> None:
    now = Now()
    breaker = Breaker(failures=1, cooldown=1.0, now=now)
    play(breaker, SILENT)
    now.seconds += 1
    inside, sent, go = threading.Event(), [], threading.Event()

    def find_out() -> None:
        with breaker.call():
            inside.set()
            go.wait(10)

    first = threading.Thread(target=find_out)
    first.start()
    assert inside.wait(10)
    sent = [play(breaker, None) for _ in range(20)]
    go.set()
    first.join()
    assert not any(sent)
    with (
        held(loop, serving(make_servicer(world).handlers())) as target,
        Tidegate(target, breaker=breaker, timeout=5) as gate,
    ):
        assert gate.filter_text("bob@example.com", rulesets=["pii"]).text == "[EMAIL]"
