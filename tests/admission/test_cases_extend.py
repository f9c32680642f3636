"""The cases of a reservation that grows while its exchange runs, whoever counts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tidegate.model import Algorithm, Charge

from tests.admission.world import COUNTING, Book, limit

COUNTED = pytest.mark.parametrize("algorithm", COUNTING)


async def _take(book: Book, *charges: Charge, hold: float = 86_400.0) -> str:
    reservation = (await book.take(*charges, hold=hold)).reservation
    assert reservation
    return reservation


@COUNTED
async def test_more_is_charged_and_settled_with_the_rest(book: Book, algorithm: Algorithm) -> None:
    charged = limit(algorithm, 100)
    held = await _take(book, Charge(charged, "k", 30))
    assert await book.ledger.extend(held, {"requests": 20}, hold=60) == "extended"
    assert await book.left(charged) == 50
    assert await book.ledger.extend(held, {"requests": 5}, hold=60) == "extended"
    assert await book.left(charged) == 45
    assert await book.ledger.settle(held, {"requests": 10})
    assert await book.left(charged) == 90


@COUNTED
async def test_more_than_fits_is_refused_and_changes_nothing(book: Book, algorithm: Algorithm) -> None:
    one, two = limit(algorithm, 100, name="one"), limit(algorithm, 50, name="two")
    held = await _take(book, Charge(one, "k", 30), Charge(two, "k", 30))
    assert await book.ledger.extend(held, {"requests": 21}, hold=60) == "refused"
    assert (await book.left(one), await book.left(two)) == (70, 20)
    assert await book.ledger.extend(held, {"requests": 2**50}, hold=60) == "refused"
    assert await book.ledger.extend(held, {"requests": 20}, hold=60) == "extended"
    assert (await book.left(one), await book.left(two)) == (50, 0)
    assert await book.ledger.settle(held, {"requests": 0})
    assert (await book.left(one), await book.left(two)) == (100, 50)


@COUNTED
async def test_more_reaches_only_the_units_it_names(book: Book, algorithm: Algorithm) -> None:
    calls, tokens = limit(algorithm, 10, name="calls"), limit(algorithm, 1000, name="tokens", cost="tokens")
    held = await _take(book, Charge(calls, "k"), Charge(tokens, "k", 600))
    assert await book.ledger.extend(held, {"tokens": 150, "prompt_tokens": 9000}, hold=60) == "extended"
    assert (await book.left(calls), await book.left(tokens)) == (9, 250)
    assert await book.ledger.settle(held, {"tokens": 100})
    assert (await book.left(calls), await book.left(tokens)) == (9, 900)


@COUNTED
async def test_more_of_what_was_nothing_is_charged_now(book: Book, algorithm: Algorithm) -> None:
    charged = limit(algorithm, 10)
    held = await _take(book, Charge(charged, "k", 0))
    assert await book.ledger.extend(held, {"requests": 4}, hold=60) == "extended"
    assert await book.left(charged) == 6
    assert await book.ledger.settle(held, {"requests": 1})
    assert await book.left(charged) == 9


@COUNTED
async def test_one_key_twice_grows_twice_or_not_at_all(book: Book, algorithm: Algorithm) -> None:
    charged = limit(algorithm, 10)
    held = await _take(book, Charge(charged, "k", 2), Charge(charged, "k", 3))
    assert await book.ledger.extend(held, {"requests": 3}, hold=60) == "refused"
    assert await book.left(charged) == 5
    assert await book.ledger.extend(held, {"requests": 2}, hold=60) == "extended"
    assert await book.left(charged) == 1
    assert await book.ledger.settle(held, {"requests": 1})
    assert await book.left(charged) == 8


@COUNTED
async def test_a_shadow_is_left_out_where_more_does_not_fit(book: Book, algorithm: Algorithm) -> None:
    shadow, real = limit(algorithm, 10, name="shadow", shadow=True), limit(algorithm, 100, name="real")
    held = await _take(book, Charge(shadow, "k", 8), Charge(real, "k", 8))
    assert await book.ledger.extend(held, {"requests": 5}, hold=60) == "extended"
    assert (await book.left(shadow), await book.left(real)) == (2, 87)
    assert await book.ledger.extend(held, {"requests": 2}, hold=60) == "extended"
    assert (await book.left(shadow), await book.left(real)) == (0, 85)
    assert await book.ledger.settle(held, {"requests": 1})
    assert (await book.left(shadow), await book.left(real)) == (9, 99)


@COUNTED
async def test_what_is_not_held_is_gone(book: Book, algorithm: Algorithm) -> None:
    charged = limit(algorithm, 10)
    assert [await book.ledger.extend(name, {"requests": 1}, hold=60) for name in ("r-unknown", "", "m")] == ["gone"] * 3
    held = await _take(book, Charge(charged, "k"))
    assert await book.ledger.settle(held, {})
    assert await book.ledger.extend(held, {"requests": 1}, hold=60) == "gone"
    assert await book.left(charged) == 9


async def test_an_entry_grows_in_its_place_and_goes_as_a_whole(book: Book) -> None:
    window = limit("sliding_window", 10, period=10.0)
    held = await _take(book, Charge(window, "k", 3))
    book.advance(9)
    assert await book.ledger.extend(held, {"requests": 4}, hold=60) == "extended"
    await book.take(Charge(window, "k", 1))
    assert await book.left(window) == 2
    book.advance(1)
    assert await book.left(window) == 9


@pytest.mark.parametrize(
    ("algorithm", "until_gone", "until_next"),
    [("sliding_window", 10.0, 10.0), ("sliding_window_counter", 20.0, 20.0), ("quota", 3600.0, 3600.0)],
)
@pytest.mark.parametrize(("used", "counted"), [(0, 0), (6, 0), (7, 1), (11, 5)])
async def test_more_counts_anew_when_the_place_is_gone(
    book: Book, algorithm: Algorithm, until_gone: float, until_next: float, used: int, counted: int
) -> None:
    charged = limit(algorithm, 10, period=10.0)
    book.advance(20)  # the edge of an hour is at 3600 s: none is crossed below but by intent
    held = await _take(book, Charge(charged, "k", 6))
    book.advance(until_gone)
    assert await book.ledger.extend(held, {"requests": 8}, hold=1e6) == "extended"
    assert await book.left(charged) == 2
    assert await book.ledger.extend(held, {"requests": 3}, hold=1e6) == "refused"
    assert await book.ledger.extend(held, {"requests": 1}, hold=1e6) == "extended"
    assert await book.left(charged) == 1
    # six of what was used had counted before; the rest of it replaces the nine
    assert await book.ledger.settle(held, {"requests": used})
    assert await book.left(charged) == 10 - counted
    book.advance(until_next)
    assert await book.left(charged) == 10


async def test_more_is_added_to_the_window_of_a_counter_that_the_charge_is_in(book: Book) -> None:
    counter = limit("sliding_window_counter", 10, period=10.0)
    held = await _take(book, Charge(counter, "k", 4))
    book.advance(15)
    await book.take(Charge(counter, "k", 5))
    assert await book.left(counter) == 3  # five, and half of the four
    assert await book.ledger.extend(held, {"requests": 7}, hold=60) == "refused"  # more than its window may hold
    assert await book.ledger.extend(held, {"requests": 6}, hold=60) == "extended"
    assert await book.left(counter) == 0
    assert await book.ledger.settle(held, {"requests": 2})
    assert await book.left(counter) == 4


async def test_the_window_before_never_grows_over_the_limit_however_little_it_counts_now(book: Book) -> None:
    counter = limit("sliding_window_counter", 10, period=10.0)
    held = await _take(book, Charge(counter, "k", 4))
    book.advance(19)
    assert await book.ledger.extend(held, {"requests": 7}, hold=60) == "refused"
    assert await book.ledger.extend(held, {"requests": 6}, hold=60) == "extended"
    assert await book.left(counter) == 9


async def test_a_quota_grows_long_after_the_calendar_that_came_with_it(book: Book) -> None:
    quota = limit("quota", 100, resets="hour", time_zone="Asia/Kolkata")
    held = await _take(book, Charge(quota, "k", 10), hold=1e8)
    for day in range(1, 4):
        book.advance(86_400)
        assert await book.ledger.extend(held, {"requests": 10 * day}, hold=1e8) == "extended"
        assert await book.left(quota) == 100 - 10 * day
    assert await book.ledger.settle(held, {"requests": 10 + 10 + 20 + 5})
    assert await book.left(quota) == 95


async def test_a_refused_extension_keeps_the_hold_and_its_leases(book: Book) -> None:
    leased, tokens = limit("concurrency", 1, period=10.0), limit("token_bucket", 5, name="tokens", cost="tokens")
    held = await _take(book, Charge(leased, "k"), Charge(tokens, "k", 5), hold=600)
    for _ in range(3):
        book.advance(9)
        assert await book.ledger.extend(held, {"tokens": 50}, hold=600) == "refused"
        assert await book.left(leased) == 0
    assert await book.ledger.settle(held, {"tokens": 0})
    assert (await book.left(leased), await book.left(tokens)) == (1, 5)


async def test_requests_that_are_added_take_no_places(book: Book) -> None:
    leased, window = limit("concurrency", 3), limit("sliding_window", 9, name="window")
    held = await _take(book, Charge(leased, "k"), Charge(window, "k"))
    assert await book.ledger.extend(held, {"requests": 4}, hold=60) == "extended"
    assert (await book.left(leased), await book.left(window)) == (2, 4)


@COUNTED
async def test_a_lowered_capacity_holds_for_more_at_once(book: Book, algorithm: Algorithm) -> None:
    charged = limit(algorithm, 10)
    held = await _take(book, Charge(charged, "k", 2))
    await book.take(Charge(replace(charged, capacity=8), "k", 6))
    # a reservation grows under the policy that it was made by
    assert await book.ledger.extend(held, {"requests": 3}, hold=60) == "refused"
    assert await book.ledger.extend(held, {"requests": 2}, hold=60) == "extended"
    assert await book.left(replace(charged, capacity=8)) == 0


@pytest.mark.parametrize("more", [0, 200])
async def test_what_did_not_grow_is_settled_in_the_period_that_it_is_of(book: Book, more: int) -> None:
    quota = limit("quota", 100, resets="day", time_zone="Asia/Kolkata")
    held = await _take(book, Charge(quota, "k", 0), hold=1e8)
    book.advance(3 * 86_400.0)
    assert await book.ledger.extend(held, {"requests": more}, hold=60) == ("refused" if more else "extended")
    assert await book.ledger.settle(held, {"requests": 5})
    assert await book.left(quota) == 100
