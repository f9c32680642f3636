"""The cases of limits that keep a sum, not a log: sliding-window counters and calendar quotas, whoever counts."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from math import ceil

import pytest
from tidegate.model import Algorithm, Charge, Limit

from tests.admission.world import SECOND, Book, Resets, limit


def _counter(capacity: int, period: float = 10.0) -> Limit:
    return limit("sliding_window_counter", capacity, period=period)


async def test_a_counter_forgets_the_window_before_evenly(book: Book) -> None:
    counter = _counter(10)
    assert await book.admits(Charge(counter, "k", 10))
    left = []
    for _ in range(21):
        left.append(await book.left(counter))
        book.advance(1)
    assert left == [0] * 11 + list(range(1, 11))


async def test_a_counter_rounds_what_it_estimates_up(book: Book) -> None:
    counter = _counter(10)
    await book.take(Charge(counter, "k", 7))
    book.advance(10.000001)
    assert await book.left(counter) == 3  # 7 x 0.9999999
    book.advance(9.999998)
    assert await book.left(counter) == 9
    book.advance(0.000001)
    assert await book.left(counter) == 10


@pytest.mark.parametrize(
    ("spent", "later", "cost", "retry"),
    [
        (10, 0.0, 1, 11.0),  # all of this window's: a tenth of it is gone a second into the next
        (10, 4.0, 10, 16.0),
        (8, 9.0, 3, 2.25),  # 8 x 0.875 and 3 are 10
        (10, 13.0, 4, 1.0),
        (7, 13.000001, 8, 4.142857),
    ],
)
async def test_the_wait_of_a_counter_is_enough_and_no_longer(
    book: Book, spent: int, later: float, cost: int, retry: float
) -> None:
    counter = _counter(10)
    await book.take(Charge(counter, "k", spent))
    book.advance(later)
    refused = (await book.take(Charge(counter, "k", cost))).refused
    assert refused is not None
    assert refused.retry_after == retry
    book.advance(retry - 0.000001)
    assert not await book.admits(Charge(counter, "k", cost))
    book.advance(0.000001)
    assert await book.admits(Charge(counter, "k", cost))


async def test_a_counter_is_full_when_the_window_after_is_over(book: Book) -> None:
    counter = _counter(10)
    book.advance(4)
    assert (await book.take(Charge(counter, "k", 4))).states[0].reset_after == 16.0
    book.advance(8)
    assert (await book.take(Charge(counter, "k", 0))).states[0].reset_after == 8.0
    book.advance(8)
    assert (await book.take(Charge(counter, "k", 0))).states[0].reset_after == 0.0


async def test_a_counter_does_not_go_back_with_its_clock(book: Book) -> None:
    counter = _counter(10)
    book.advance(10)
    await book.take(Charge(counter, "k", 10))
    book.advance(-10)
    refused = (await book.take(Charge(counter, "k"))).refused
    assert refused is not None
    assert refused.retry_after == 11.0
    book.advance(20)
    assert await book.left(counter) == 0
    book.advance(1)
    assert await book.left(counter) == 1


async def test_settling_changes_the_window_that_a_charge_is_in(book: Book) -> None:
    counter = _counter(10)
    held = await book.take(Charge(counter, "k", 8), hold=60)
    book.advance(10)
    await book.take(Charge(counter, "k", 2))
    await book.ledger.settle(held.reservation, {"requests": 4})
    assert await book.left(counter) == 4
    book.advance(5)
    assert await book.left(counter) == 6
    book.advance(5)
    assert await book.left(counter) == 8


@pytest.mark.parametrize("reserved", [0, 5])
@pytest.mark.parametrize("used", [0, 9])
async def test_settling_in_a_counter_after_two_windows_changes_nothing(book: Book, reserved: int, used: int) -> None:
    counter = _counter(10)
    held = await book.take(Charge(counter, "k", reserved), hold=60)
    book.advance(20)
    await book.take(Charge(counter, "k", 1))
    assert await book.ledger.settle(held.reservation, {"requests": used})
    assert await book.left(counter) == 9
    book.advance(10)
    assert await book.left(counter) == 9


async def test_a_counter_of_numbers_beyond_a_doubles_digits(book: Book) -> None:
    month = _counter(2**40 - 3, period=31 * 86_400.0)
    await book.take(Charge(month, "k", 2**40 - 12345))
    book.advance(31 * 86_400.0 + 1_234_567.891011)
    state = (await book.take(Charge(month, "k", 0))).states[0]
    into = book.clock.us % (31 * 86_400 * SECOND)
    share = Fraction((2**40 - 12345) * (31 * 86_400 * SECOND - into), 31 * 86_400 * SECOND)
    assert state.remaining == 2**40 - 3 - ceil(share)
    refused = (await book.take(Charge(month, "k", 2**40 - 99999))).refused
    assert refused is not None
    book.advance(refused.retry_after - 0.000001)
    assert not await book.admits(Charge(month, "k", 2**40 - 99999))
    book.advance(0.000001)
    assert await book.admits(Charge(month, "k", 2**40 - 99999))


# Quota ----------------------------------------------------------------------------------------------------------------


def _at(book: Book, moment: str) -> None:
    book.clock.us = int(datetime.fromisoformat(moment).timestamp()) * SECOND


@pytest.mark.parametrize(
    ("resets", "last", "start"),
    [
        ("hour", "2026-03-28T10:59:59+05:30", "2026-03-28T10:00:00+05:30"),
        ("day", "2026-03-28T23:59:59+05:30", "2026-03-28T00:00:00+05:30"),
        ("week", "2026-03-29T23:59:59+05:30", "2026-03-23T00:00:00+05:30"),
        ("month", "2028-02-29T23:59:59+05:30", "2028-02-01T00:00:00+05:30"),
    ],
)
async def test_a_quota_begins_anew_with_its_period(book: Book, resets: Resets, last: str, start: str) -> None:
    quota = limit("quota", 10, resets=resets, time_zone="Asia/Kolkata")
    _at(book, start)
    await book.take(Charge(quota, "k", 3))
    _at(book, last)
    assert await book.admits(Charge(quota, "k", 7))
    refused = (await book.take(Charge(quota, "k"))).refused
    assert refused is not None
    assert (refused.remaining, refused.retry_after, refused.reset_after) == (0, 1.0, 1.0)
    book.advance(0.999999)
    assert not await book.admits(Charge(quota, "k"))
    book.advance(0.000001)
    assert await book.left(quota) == 10
    assert await book.admits(Charge(quota, "k", 10))


async def test_a_quota_of_a_day_with_a_change_of_clocks(book: Book) -> None:
    quota = limit("quota", 1, resets="day", time_zone="Europe/Berlin")
    for begin, hours in (("2026-03-29T00:00:00+01:00", 23), ("2026-10-25T00:00:00+02:00", 25)):
        _at(book, begin)
        state = (await book.take(Charge(quota, "k"))).states[0]
        assert state.reset_after == hours * 3600


async def test_a_quota_does_not_go_back_with_its_clock(book: Book) -> None:
    quota = limit("quota", 5, resets="hour")
    _at(book, "2026-03-28T10:00:30+00:00")
    await book.take(Charge(quota, "k", 5))
    book.advance(-60)
    refused = (await book.take(Charge(quota, "k"))).refused
    assert refused is not None
    assert refused.retry_after == 3600.0
    book.advance(3629)
    assert not await book.admits(Charge(quota, "k"))
    book.advance(1)
    assert await book.admits(Charge(quota, "k"))


@pytest.mark.parametrize("reserved", [0, 5])
@pytest.mark.parametrize("used", [0, 9])
async def test_settling_in_a_quota_after_its_period_changes_nothing(book: Book, reserved: int, used: int) -> None:
    quota = limit("quota", 10, resets="hour")
    held = await book.take(Charge(quota, "k", reserved), hold=86_400)
    late = await book.take(Charge(quota, "k", 1), hold=86_400)
    book.advance(3600)
    await book.take(Charge(quota, "k", 2))
    assert await book.ledger.settle(held.reservation, {"requests": used})
    assert await book.left(quota) == 8
    book.advance(20 * 3600)  # the calendar that the charge was made by does not reach so far
    assert await book.ledger.settle(late.reservation, {"requests": used})
    assert await book.left(quota) == 10


async def test_a_longer_period_counts_on(book: Book) -> None:
    hour = limit("quota", 10, resets="hour")
    month = limit("quota", 10, resets="month")
    _at(book, "2026-03-28T10:59:00+00:00")
    held = await book.take(Charge(hour, "k", 6), hold=86_400)
    book.advance(3600)
    assert await book.left(month) == 4
    assert await book.ledger.settle(held.reservation, {"requests": 5})
    assert await book.left(month) == 5
    assert await book.left(hour) == 10


@pytest.mark.parametrize("algorithm", ["sliding_window_counter", "quota"])
async def test_a_sum_may_be_settled_beyond_the_limit(book: Book, algorithm: Algorithm) -> None:
    charged = limit(algorithm, 10, period=10.0)
    held = await book.take(Charge(charged, "k", 1), hold=60)
    assert await book.ledger.settle(held.reservation, {"requests": 25})
    assert await book.left(charged) == 0
    assert await book.left(replace(charged, capacity=30)) == 5


@pytest.mark.parametrize("algorithm", ["sliding_window_counter", "quota"])
async def test_a_sum_is_cut_where_it_could_no_longer_be_exact(book: Book, algorithm: Algorithm) -> None:
    charged = limit(algorithm, 2**45)
    held = [(await book.take(Charge(charged, "k", 1), hold=60)).reservation for _ in range(20)]
    for number, reservation in enumerate(held):
        await book.ledger.settle(reservation, {"requests": 2**50})
        if number == 7:
            assert await book.left(charged) == 2**45 - 8 * 2**40 - 12
    assert await book.left(charged) == 2**44
