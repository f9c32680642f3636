"""What a stream may still cost: asked for in steps, to the last unit, and never refused by silence."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tidegate.envoy.allowance import Allowance
from tidegate.model import Hold


def allowance(*amounts: tuple[str, int]) -> Allowance:
    return Allowance(Hold(600.0, amounts, ("tpm",)))


def test_nothing_is_asked_for_what_is_held() -> None:
    subject = allowance(("tokens", 100))
    assert subject.demand({"tokens": 100}) is None
    assert subject.demand({"tokens": 101}) is not None


@pytest.mark.parametrize(("amount", "step"), [(0, 64), (100, 64), (1000, 250)])
def test_more_is_asked_for_in_steps_of_a_quarter_and_at_least_64(amount: int, step: int) -> None:
    subject = allowance(("tokens", amount))
    assert subject.demand({"tokens": amount + 1}) == {"tokens": step}
    assert subject.answered("extended") == "go"
    assert subject.demand({"tokens": amount + step}) is None
    assert subject.demand({"tokens": amount + 3 * step}) == {"tokens": 2 * step}


def test_only_the_units_that_are_short_are_asked_for() -> None:
    subject = allowance(("tokens", 1000), ("completion_tokens", 10))
    assert subject.demand({"tokens": 500, "completion_tokens": 11}) == {"completion_tokens": 64}


def test_a_step_that_is_refused_is_quartered_down_to_what_is_needed() -> None:
    subject = allowance(("tokens", 1000))
    assert subject.demand({"tokens": 1010}) == {"tokens": 250}
    assert subject.answered("refused") == {"tokens": 62}
    assert subject.answered("refused") == {"tokens": 15}
    assert subject.answered("refused") == {"tokens": 10}
    assert subject.answered("extended") == "go"
    assert subject.demand({"tokens": 1011}) == {"tokens": 3}
    assert subject.answered("refused") == {"tokens": 1}
    assert subject.answered("refused") == "stop"


def test_a_limit_is_used_to_its_end_in_a_few_questions() -> None:
    """A thousand events fit into what is left, which is less than a step."""
    subject, left, asked = allowance(("tokens", 40_000)), 9_999, 0
    for event in range(1, 1001):
        demand = subject.demand({"tokens": 40_000 + 10 * event})
        while demand is not None:
            asked += 1
            fits = demand["tokens"] <= left
            left -= demand["tokens"] if fits else 0
            verdict = subject.answered("extended" if fits else "refused")
            assert verdict != "stop" or event == 1000
            demand = None if isinstance(verdict, str) else verdict
    assert asked < 40


def test_a_store_that_is_out_refuses_nothing() -> None:
    subject = allowance(("tokens", 100))
    assert subject.demand({"tokens": 110}) == {"tokens": 64}
    assert subject.answered("unavailable") == "go"
    assert subject.demand({"tokens": 164}) is None
    assert subject.demand({"tokens": 165}) == {"tokens": 64}


def test_a_reservation_that_is_gone_is_not_asked_about_again() -> None:
    subject = allowance(("tokens", 100))
    assert subject.demand({"tokens": 110}) == {"tokens": 64}
    assert subject.answered("gone") == "go"
    assert subject.demand({"tokens": 10_000}) is None


def test_without_amounts_nothing_is_asked() -> None:
    assert allowance().demand({"tokens": 1}) is None


@settings(deadline=None)
@given(st.integers(0, 500), st.integers(0, 1500), st.lists(st.integers(1, 200), max_size=40))
def test_a_stream_ends_where_the_limit_does(reserved: int, room: int, texts: list[int]) -> None:
    """Against a limit with `room` beyond the reservation: everything is let out that fits, and nothing else."""
    subject = allowance(("tokens", reserved))
    held, cost = reserved, 0
    for text in texts:
        cost += text
        demand = subject.demand({"tokens": cost})
        while demand is not None:
            fits = held + demand["tokens"] <= reserved + room
            held += demand["tokens"] if fits else 0
            verdict = subject.answered("extended" if fits else "refused")
            if verdict == "stop":
                assert cost > reserved + room
                return
            demand = None if verdict == "go" else verdict
        assert cost <= held <= reserved + room
