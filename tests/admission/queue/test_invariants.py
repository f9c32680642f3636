"""What holds after any sequence of steps, when nobody renews what has lapsed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tidegate.admission.queue.fair import CLAIM_US, GRANTED, MAX_DEBTS, WAITING, Bounds, Line, step_of
from tidegate.admission.queue.terms import Demand

from tests.admission.queue.world import MS, SECOND

bounds = st.builds(
    lambda concurrent, reserve, queue: Bounds(concurrent, min(reserve, concurrent - 1), queue, 2 * SECOND, 100 * MS),
    st.integers(1, 5),
    st.integers(0, 4),
    st.integers(0, 5),
)
joins = st.tuples(st.just("join"), st.integers(0, 2), st.sampled_from("abc"), st.integers(1, 9), st.integers(1, 9))
leaves = st.tuples(st.just("leave"), st.integers(0, 40))
times = st.tuples(st.just("pass"), st.integers(0, 150 * MS) | st.sampled_from([3 * SECOND]))


@given(bounds, st.lists(joins | joins | leaves | times, max_size=80))
def test_no_more_run_than_may_and_nobody_waits_for_what_is_free(
    limits: Bounds, steps: list[tuple[object, ...]]
) -> None:
    line, now, joined = Line(), SECOND, 0
    told: set[str] = set()
    for step in steps:
        match step:
            case "join", int(rank), str(tenant), int(weight), int(cost):
                ticket, joined = f"t{joined}", joined + 1
                demand = Demand(tenant, "standard", weight, cost)
                answer = line.join(now, limits, ticket, rank, tenant, step_of(demand))
                told |= {ticket} if answer.states[0] in (GRANTED, WAITING) else set()
            case "leave", int(which):
                line.turn(now, limits, (f"t{which}",), ())
            case "pass", int(us):
                now += us
                line.turn(now, limits, (), ())
        critical, others = (len(held) for held in line.held)
        assert critical + others <= limits.concurrent
        assert others <= limits.concurrent - limits.reserve
        assert len(line.waiting) <= limits.queue
        if critical + others < limits.concurrent:
            assert all(waiter.rank for waiter in line.waiting)
            assert others == limits.concurrent - limits.reserve or not line.waiting
        assert {waiter.ticket for waiter in line.waiting} <= told  # who was refused stays refused
        assert all(now < waiter.deadline <= now + limits.max_wait for waiter in line.waiting)
        latest = now + max(limits.lease, limits.max_wait + CLAIM_US)
        assert all(now < expiry <= latest for held in line.held for expiry in held.values())
        assert all(0 < debt < 2**40 for debts in line.debts for debt in debts.values())
    line.turn(now + 10 * SECOND, limits, (), ())
    assert (line.held, line.waiting, line.debts) == (({}, {}), [], ({}, {}, {}))


def test_ten_thousand_tenants_that_come_once_leave_no_ten_thousand_debts() -> None:
    line, limits = Line(), Bounds(1, 0, 8, 60 * SECOND, SECOND)
    line.join(SECOND, limits, "debtor", 1, "debtor", step_of(Demand("debtor", "standard", 1, 1_000_000)))
    running = ["debtor"]
    for number in range(10_000):
        step = step_of(Demand("", "standard", 1, 100 + number % 900))
        line.join(SECOND, limits, f"t{number}", 1, f"tenant{number}", step)
        line.turn(SECOND, limits, running, ())
        running = [*line.held[1]]
        assert len(line.debts[1]) <= MAX_DEBTS
    assert "debtor" in line.debts[1]  # whoever owes most is not forgiven
