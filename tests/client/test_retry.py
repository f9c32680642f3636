"""When a failed call is sent again: the rule alone, with a clock that only moves when told."""

from __future__ import annotations

import pytest
from tidegate_client.retry import Attempts

NEVER_SENT = "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: Connection refused"


class Now:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def attempts(now: Now, *, charges: bool = False, timeout: float = 1.0, retries: int = 2) -> Attempts:
    return Attempts(charges=charges, timeout=timeout, retries=retries, now=now, chance=lambda: 0.5)


def test_pauses_double_and_attempts_end() -> None:
    rule = attempts(Now())
    pauses = [rule.pause("UNAVAILABLE", "Socket closed") for _ in range(3)]
    assert pauses == [pytest.approx(0.0375), pytest.approx(0.075), None]


@pytest.mark.parametrize("code", ["DEADLINE_EXCEEDED", "INTERNAL", "UNKNOWN", "RESOURCE_EXHAUSTED", "INVALID_ARGUMENT"])
def test_only_unavailable_is_tried_again(code: str) -> None:
    assert attempts(Now()).pause(code, NEVER_SENT) is None


@pytest.mark.parametrize("details", ["Socket closed", "", "GOAWAY received", "limits cannot be checked now"])
def test_a_charge_is_not_repeated_once_it_may_have_arrived(details: str) -> None:
    assert attempts(Now(), charges=True).pause("UNAVAILABLE", details) is None
    assert attempts(Now(), charges=True).pause("UNAVAILABLE", NEVER_SENT) is not None


def test_no_pause_reaches_past_the_deadline() -> None:
    now = Now()
    rule = attempts(now, timeout=0.1, retries=9)
    assert rule.remaining() == pytest.approx(0.1)
    now.seconds += 0.07
    assert rule.pause("UNAVAILABLE", "") is None
    now.seconds += 1
    assert 0 < rule.remaining() < 0.01


def test_the_pause_is_spread() -> None:
    spread = {
        Attempts(charges=False, timeout=1, retries=1, now=Now(), chance=lambda c=c: c).pause("UNAVAILABLE", "")
        for c in (0.0, 0.5, 0.999)
    }
    assert len(spread) == 3
    assert all(pause is not None and 0.02 <= pause <= 0.05 for pause in spread)
