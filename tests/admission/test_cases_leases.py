"""The cases of limits on what runs at once, whoever counts: places are taken, given back, renewed and lost."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest
from tidegate.model import Charge

from tests.admission.world import Book, limit

TWO = limit("concurrency", 2, period=10.0)
ONE = Charge(TWO, "k")


async def _take(book: Book, charge: Charge = ONE) -> str:
    reservation = (await book.take(charge, hold=600)).reservation
    assert reservation
    return reservation


async def test_a_place_is_free_at_once_when_its_exchange_is_settled(book: Book) -> None:
    first, _ = await _take(book), await _take(book)
    assert not await book.admits(ONE)
    assert await book.ledger.settle(first, {})
    assert await book.left(TWO) == 1
    assert await book.admits(ONE)
    assert not await book.admits(ONE)


@pytest.mark.parametrize("costs", [{}, {"requests": 0}, {"requests": 7}, {"tokens": 9}])
async def test_a_lease_ends_whatever_was_used(book: Book, costs: dict[str, int]) -> None:
    held = await _take(book)
    assert await book.ledger.settle(held, costs)
    assert await book.left(TWO) == 2


async def test_a_lease_that_nobody_renews_ends_to_the_microsecond(book: Book) -> None:
    await _take(book)
    book.advance(4)
    await _take(book)
    book.advance(5.999999)
    assert await book.left(TWO) == 0
    book.advance(0.000001)
    assert await book.left(TWO) == 1
    book.advance(4)
    assert await book.left(TWO) == 2


async def test_the_wait_for_a_place_is_a_second_and_the_reset_until_all_lapse(book: Book) -> None:
    await _take(book)
    book.advance(4)
    held = (await book.take(ONE, hold=600)).states[0]
    assert (held.remaining, held.reset_after, held.retry_after) == (0, 10.0, 0.0)
    book.advance(1)
    refused = (await book.take(ONE, hold=600)).refused
    assert refused is not None
    assert (refused.remaining, refused.reset_after, refused.retry_after) == (0, 9.0, 1.0)


async def test_a_charge_may_take_several_places(book: Book) -> None:
    five = limit("concurrency", 5, period=10.0)
    held = await _take(book, Charge(five, "k", 3))
    await _take(book, Charge(five, "k", 1))
    assert (await book.take(Charge(five, "k", 2), hold=600)).states[0].retry_after == 1.0
    assert (await book.take(Charge(five, "k", 6), hold=600)).states[0].retry_after == inf
    assert await book.ledger.settle(held, {"requests": 1})
    assert await book.left(five) == 4


async def test_of_two_limits_that_refuse_the_one_is_named_whose_wait_is_known_and_longer(book: Book) -> None:
    window = limit("sliding_window", 2, period=30.0, name="window")
    for _ in range(2):
        await book.take(ONE, Charge(window, "k"), hold=600)
    refused = (await book.take(ONE, Charge(window, "k"), hold=600)).refused
    assert refused is not None
    assert (refused.limit, refused.retry_after) == (window, 30.0)


async def test_a_renewed_lease_lasts_its_own_time_however_long_the_hold(book: Book) -> None:
    held = await _take(book)
    for _ in range(20):
        book.advance(9)
        assert await book.ledger.extend(held, {}, hold=600) == "extended"
        assert await book.left(TWO) == 1
    state = (await book.take(ONE._replace(cost=0))).states[0]
    assert state.reset_after == 10.0
    book.advance(10)
    assert await book.left(TWO) == 2
    assert await book.ledger.settle(held, {})


async def test_a_late_settlement_frees_nobody_elses_place(book: Book) -> None:
    late = [await _take(book), await _take(book)]
    book.advance(10)
    others = [await _take(book), await _take(book)]
    assert [await book.ledger.settle(held, {"requests": 1}) for held in late] == [True, True]
    assert await book.left(TWO) == 0
    assert not await book.admits(ONE)
    assert [await book.ledger.settle(held, {"requests": 1}) for held in others] == [True, True]
    assert await book.left(TWO) == 2


async def test_a_lapsed_lease_is_taken_again_by_its_renewal_even_over_the_limit(book: Book) -> None:
    late = await _take(book)
    book.advance(10)
    assert await book.left(TWO) == 2
    others = [await _take(book), await _take(book)]
    assert await book.ledger.extend(late, {}, hold=600) == "extended"
    assert await book.left(replace(TWO, capacity=4)) == 1
    assert await book.ledger.settle(others[0], {})
    assert not await book.admits(ONE)
    assert await book.ledger.settle(late, {})
    assert await book.admits(ONE)


async def test_a_lapsed_lease_that_was_forgotten_is_taken_again(book: Book) -> None:
    late = await _take(book)
    book.advance(11)
    for number in range(8):  # new keys have old ones looked at, which may be forgotten
        await _take(book, Charge(TWO, f"other {number}"))
    assert await book.ledger.extend(late, {}, hold=600) == "extended"
    assert await book.left(TWO) == 1
    assert await book.ledger.settle(late, {})
    assert await book.left(TWO) == 2


async def test_a_clock_that_steps_back_neither_frees_nor_holds_a_place(book: Book) -> None:
    await _take(book)
    book.advance(-5)
    await _take(book)
    state = (await book.take(ONE, hold=600)).states[0]
    assert (state.remaining, state.reset_after, state.retry_after) == (0, 10.0, 1.0)
    book.advance(14.999999)
    assert await book.left(TWO) == 0
    book.advance(0.000001)
    assert await book.left(TWO) == 2


async def test_what_ran_before_a_changed_lease_keeps_its_time(book: Book) -> None:
    await _take(book)
    short = replace(TWO, period=1.0)
    assert (await book.take(Charge(short, "k"), hold=600)).states[0].reset_after == 10.0
    refused = (await book.take(Charge(short, "k"), hold=600)).refused
    assert refused is not None
    assert refused.reset_after == 10.0
    book.advance(1)
    assert await book.left(short) == 1


async def test_a_refused_decision_takes_no_place(book: Book) -> None:
    full = limit("token_bucket", 1, name="full")
    assert await book.admits(Charge(full, "k"))
    assert not await book.admits(ONE, Charge(full, "k"))
    assert await book.left(TWO) == 2


async def test_a_shadow_lease_that_did_not_fit_is_not_taken_by_a_renewal(book: Book) -> None:
    shadow = limit("concurrency", 1, name="shadow", shadow=True)
    first = (await book.take(Charge(shadow, "k"), ONE, hold=600)).reservation
    second = await book.take(Charge(shadow, "k"), ONE, hold=600)
    assert [state.limit for state in second.shadowed] == [shadow]
    assert await book.ledger.extend(second.reservation, {}, hold=600) == "extended"
    assert await book.ledger.settle(first, {})
    assert (await book.left(shadow), await book.left(TWO)) == (1, 1)


@pytest.mark.parametrize("shadow", [False, True])
async def test_a_lease_without_a_hold_is_a_mistake_and_charges_nothing(book: Book, shadow: bool) -> None:
    other, leased = limit("sliding_window", 2, name="other"), replace(TWO, shadow=shadow)
    with pytest.raises(ValueError, match="hold"):
        await book.ledger.reserve([Charge(other, "k"), Charge(leased, "k")])
    assert (await book.left(other), await book.left(TWO)) == (2, 2)
    assert (await book.ledger.reserve([Charge(TWO, "k", 0)])).states[0].remaining == 2
