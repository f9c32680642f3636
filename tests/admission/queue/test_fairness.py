"""What each tenant gets when more is asked for than there is, simulated; first come, first served fails every one.

The endpoint runs 8 exchanges of 20 ms at once: 400 a second.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tidegate.admission.queue.fair import Line
from tidegate.admission.queue.terms import Capacity

from tests.admission.queue.world import MS, SECOND, Client, Fifo, Lines, simulate

CAPACITY = Capacity(concurrent=8, queue=32, max_wait=0.15, reserve=0)
RATE = 400


def every(rate: float) -> int:
    return round(SECOND / rate)


def shares_follow_weights_whatever_the_rate(line: Lines) -> None:
    clients = [
        Client("one", every(3000), weight=1),
        Client("two", every(500), weight=2),
        Client("four", every(450), weight=4),
    ]
    seen = simulate(line, CAPACITY, clients, until=11 * SECOND, counts_from=SECOND)
    total = sum(mine.served for mine in seen.values())
    for name, weight in (("one", 1), ("two", 2), ("four", 4)):
        assert seen[name].served == pytest.approx(total * weight / 7, rel=0.1), name
    assert total == pytest.approx(10 * RATE, rel=0.02)


def shares_are_in_tokens(line: Lines) -> None:
    clients = [Client("large", every(400), cost=4000), Client("small", every(600), cost=500)]
    seen = simulate(line, CAPACITY, clients, until=21 * SECOND, counts_from=SECOND)
    assert seen["large"].tokens == pytest.approx(seen["small"].tokens, rel=0.1)


def one_who_comes_seldom_is_never_refused(line: Lines) -> None:
    clients = [Client("flood", every(4000)), Client("seldom", every(10), starts=7 * MS)]
    seen = simulate(line, CAPACITY, clients, until=5 * SECOND)
    assert (seen["seldom"].refused, seen["seldom"].served) == (0, seen["seldom"].asked)
    assert max(seen["seldom"].waits) <= 20 * MS


def the_smallest_weight_is_not_starved(line: Lines) -> None:
    clients = [
        Client("large", every(2000), weight=199),
        Client("tiny", every(50), weight=1, starts=3 * MS),
    ]
    seen = simulate(line, CAPACITY, clients, until=21 * SECOND, counts_from=SECOND)
    assert seen["tiny"].served == pytest.approx(20 * RATE / 200, rel=0.1)


def critical_is_served_at_once_behind_any_flood(line: Lines) -> None:
    capacity = Capacity(concurrent=8, queue=32, max_wait=0.15, reserve=2)
    clients = [
        Client("standard", every(1000), runs=5 * SECOND),
        Client("shed", every(1000), runs=5 * SECOND, priority="sheddable"),
        Client("inside", every(50), priority="critical", starts=100 * MS),
    ]
    seen = simulate(line, capacity, clients, until=20 * SECOND)
    assert seen["inside"].refused == 0
    assert max(seen["inside"].waits, default=SECOND) == 0


def critical_beyond_its_reserve_waits_for_one_place_only(line: Lines) -> None:
    clients = [
        Client("standard", every(2000)),
        Client("inside", every(200), priority="critical", starts=100 * MS),
    ]
    seen = simulate(line, CAPACITY, clients, until=10 * SECOND)
    assert seen["inside"].refused == 0
    assert max(seen["inside"].waits) <= 20 * MS


def sheddable_is_refused_first(line: Lines) -> None:
    clients = [
        Client("shed", every(2000), priority="sheddable", weight=1000),
        Client("standard", every(300), starts=50 * MS),
    ]
    seen = simulate(line, CAPACITY, clients, until=11 * SECOND, counts_from=SECOND)
    assert seen["standard"].refused == 0
    assert seen["shed"].served == pytest.approx(10 * (RATE - 300), rel=0.1)


def who_stayed_away_has_saved_nothing_up(line: Lines) -> None:
    clients = [Client("steady", every(1000)), Client("late", every(1000), starts=10 * SECOND)]
    seen = simulate(line, CAPACITY, clients, until=12 * SECOND, counts_from=10 * SECOND)
    assert seen["steady"].served == pytest.approx(seen["late"].served, rel=0.1)
    assert max(seen["steady"].waits) < 150 * MS


# One against one at the same rate is what first come, first served can do.
PROMISES: list[Callable[[Lines], None]] = [
    shares_follow_weights_whatever_the_rate,
    shares_are_in_tokens,
    one_who_comes_seldom_is_never_refused,
    the_smallest_weight_is_not_starved,
    critical_is_served_at_once_behind_any_flood,
    critical_beyond_its_reserve_waits_for_one_place_only,
    sheddable_is_refused_first,
]


@pytest.mark.parametrize("promise", [*PROMISES, who_stayed_away_has_saved_nothing_up])
def test_the_fair_queue_keeps_its_promise(promise: Callable[[Lines], None]) -> None:
    promise(Line())


@pytest.mark.parametrize("promise", PROMISES)
def test_first_come_first_served_breaks_it(promise: Callable[[Lines], None]) -> None:
    with pytest.raises(AssertionError):
        promise(Fifo())


def test_what_one_does_not_use_the_others_get() -> None:
    clients = [Client("small", every(40), weight=1000), Client("large", every(1000), weight=1)]
    seen = simulate(Line(), CAPACITY, clients, until=11 * SECOND, counts_from=SECOND)
    assert seen["small"].refused == 0
    assert seen["large"].served == pytest.approx(10 * (RATE - 40), rel=0.02)
