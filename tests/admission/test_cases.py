"""The same cases over the reference, memory and Redis: what a limit promises, whoever counts."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import get_args

import pytest
from tidegate.model import Algorithm, Charge

from tests.admission.world import COUNTING, Book, limit

ALL = pytest.mark.parametrize("algorithm", get_args(Algorithm))
COUNTED = pytest.mark.parametrize("algorithm", COUNTING)
EXACT = pytest.mark.parametrize("algorithm", ["token_bucket", "sliding_window"])


@ALL
async def test_admits_its_capacity_and_no_more(book: Book, algorithm: Algorithm) -> None:
    charge = Charge(limit(algorithm, 3), "k")
    assert [await book.admits(charge) for _ in range(5)] == [True, True, True, False, False]


@ALL
async def test_keys_do_not_share(book: Book, algorithm: Algorithm) -> None:
    one = limit(algorithm, 1)
    assert await book.admits(Charge(one, "a"))
    assert await book.admits(Charge(one, "b"))
    assert await book.admits(Charge(replace(one, name="other"), "a"))
    assert await book.admits(Charge(replace(one, scope="other"), "a"))
    assert not await book.admits(Charge(one, "a"))


async def test_a_bucket_refills_to_the_microsecond(book: Book) -> None:
    bucket = limit("token_bucket", 7, refill=7, period=60.0)
    assert await book.admits(Charge(bucket, "k", 7))
    refused = (await book.take(Charge(bucket, "k"))).refused
    assert refused is not None
    assert refused.retry_after == 8.571429  # 60/7 s, rounded up
    assert refused.reset_after == 60.0
    book.advance(8.571428)
    assert not await book.admits(Charge(bucket, "k"))
    book.advance(0.000001)
    assert await book.admits(Charge(bucket, "k"))


async def test_a_bucket_does_not_drift(book: Book) -> None:
    bucket = limit("token_bucket", 1000, refill=7, period=60.0)
    await book.take(Charge(bucket, "k", 1000))
    for _ in range(600):
        book.advance(0.1)
        await book.take(Charge(bucket, "k"))
    # 7 tokens came back in 60 s, and each was taken as it came
    assert await book.left(bucket) == 0
    state = (await book.take(Charge(bucket, "k", 0))).states[0]
    assert state.reset_after == pytest.approx(1000 * 60 / 7, abs=1e-6)


async def test_a_window_forgets_an_entry_one_window_later(book: Book) -> None:
    window = limit("sliding_window", 2, period=10.0)
    assert await book.admits(Charge(window, "k"))
    book.advance(4)
    assert await book.admits(Charge(window, "k"))
    book.advance(5.999999)
    refused = (await book.take(Charge(window, "k"))).refused
    assert refused is not None
    assert refused.retry_after == 0.000001
    book.advance(0.000001)
    assert await book.admits(Charge(window, "k"))
    assert not await book.admits(Charge(window, "k"))


async def test_the_wait_of_a_window_passes_over_what_is_too_small(book: Book) -> None:
    window = limit("sliding_window", 10, period=10.0)
    for cost in (1, 2, 7):
        await book.take(Charge(window, "k", cost))
        book.advance(1)
    refused = (await book.take(Charge(window, "k", 4))).refused
    assert refused is not None
    assert refused.retry_after == 9.0  # the third must go


@EXACT
async def test_states_say_what_is_left(book: Book, algorithm: Algorithm) -> None:
    charged = limit(algorithm, 10, refill=10, period=10.0)
    state = (await book.take(Charge(charged, "k", 4))).states[0]
    assert (state.remaining, state.retry_after) == (6, 0.0)
    assert state.reset_after == (4.0 if algorithm == "token_bucket" else 10.0)
    book.advance(20)
    state = (await book.take(Charge(charged, "k", 0))).states[0]
    assert (state.remaining, state.reset_after) == (10, 0.0)


@ALL
async def test_a_cost_over_the_capacity_never_fits(book: Book, algorithm: Algorithm) -> None:
    charged = limit(algorithm, 10)
    admission = await book.take(Charge(charged, "k", 11))
    assert admission.refused is not None
    assert admission.refused.retry_after == inf
    assert await book.left(charged) == 10


@ALL
async def test_a_cost_of_nothing_is_a_look(book: Book, algorithm: Algorithm) -> None:
    charged = limit(algorithm, 1)
    await book.take(Charge(charged, "k"))
    admission = await book.take(Charge(charged, "k", 0))
    assert admission.refused is None
    assert admission.states[0].remaining == 0
    assert not await book.admits(Charge(charged, "k"))


async def test_all_or_none_and_the_longest_wait_is_named(book: Book) -> None:
    wide = limit("token_bucket", 100, name="wide")
    soon = limit("token_bucket", 1, refill=1, period=1.0, name="soon")
    late = limit("sliding_window", 1, period=60.0, name="late")
    charges = [Charge(wide, "k", 5), Charge(soon, "k"), Charge(late, "k")]
    assert await book.admits(*charges)
    admission = await book.take(*charges)
    assert admission.refused is not None
    assert admission.refused.limit is late
    assert [state.remaining for state in admission.states] == [95, 0, 0]
    assert [state.retry_after for state in admission.states] == [0.0, 1.0, 60.0]
    assert admission.reservation == ""
    assert [await book.left(charged) for charged in (wide, soon, late)] == [95, 0, 0]


@ALL
async def test_one_key_twice_in_a_decision_counts_twice(book: Book, algorithm: Algorithm) -> None:
    charged = limit(algorithm, 3)
    assert not await book.admits(Charge(charged, "k", 2), Charge(charged, "k", 2))
    assert await book.left(charged) == 3
    assert await book.admits(Charge(charged, "k", 2), Charge(charged, "k", 1))
    assert await book.left(charged) == 0


@EXACT
async def test_time_that_steps_back_changes_nothing(book: Book, algorithm: Algorithm) -> None:
    charged = limit(algorithm, 2, refill=1, period=10.0)
    await book.take(Charge(charged, "k", 2))
    book.advance(-5)
    refused = (await book.take(Charge(charged, "k"))).refused
    assert refused is not None
    assert refused.retry_after == 10.0
    book.advance(15)
    assert await book.admits(Charge(charged, "k"))


@ALL
async def test_a_changed_capacity_holds_at_once(book: Book, algorithm: Algorithm) -> None:
    charged = limit(algorithm, 5)
    await book.take(Charge(charged, "k", 5))
    assert not await book.admits(Charge(charged, "k"))
    raised = replace(charged, capacity=8)
    assert await book.left(raised) == 3
    assert await book.admits(Charge(raised, "k", 3))
    lowered = replace(charged, capacity=2)
    admission = await book.take(Charge(lowered, "k"))
    assert admission.refused is not None
    assert admission.states[0].remaining == 0
    assert await book.left(replace(charged, capacity=20)) == 12


async def test_a_changed_rate_holds_at_once(book: Book) -> None:
    slow = limit("token_bucket", 10, refill=1, period=60.0)
    await book.take(Charge(slow, "k", 10))
    fast = replace(slow, refill=10, period=1.0)
    book.advance(1)
    assert await book.left(fast) == 10


async def test_a_shortened_window_holds_at_once(book: Book) -> None:
    day = limit("sliding_window", 1, period=86_400.0)
    await book.take(Charge(day, "k"))
    book.advance(60)
    assert not await book.admits(Charge(day, "k"))
    assert await book.admits(Charge(replace(day, period=60.0), "k"))


@COUNTED
async def test_settling_gives_back_what_was_not_used(book: Book, algorithm: Algorithm) -> None:
    charged = limit(algorithm, 100)
    held = await book.take(Charge(charged, "k", 80), hold=60)
    assert held.reservation
    assert await book.ledger.settle(held.reservation, {"requests": 10})
    assert await book.left(charged) == 90


@EXACT
async def test_settling_may_pass_the_limit(book: Book, algorithm: Algorithm) -> None:
    charged = limit(algorithm, 10, refill=10, period=10.0)
    held = await book.take(Charge(charged, "k", 1), hold=60)
    assert await book.ledger.settle(held.reservation, {"requests": 25})
    assert await book.left(charged) == 0
    assert await book.left(replace(charged, capacity=30)) == 5
    book.advance(10)
    assert await book.left(charged) == (0 if algorithm == "token_bucket" else 10)


@COUNTED
async def test_settling_happens_once(book: Book, algorithm: Algorithm) -> None:
    charged = limit(algorithm, 10)
    held = await book.take(Charge(charged, "k", 5), hold=60)
    assert await book.ledger.settle(held.reservation, {"requests": 4})
    assert not await book.ledger.settle(held.reservation, {"requests": 0})
    assert not await book.ledger.settle("r-unknown", {"requests": 0})
    assert not await book.ledger.settle("", {"requests": 0})
    assert await book.left(charged) == 6


async def test_settling_changes_the_entry_of_a_window_in_its_place(book: Book) -> None:
    window = limit("sliding_window", 10, period=10.0)
    held = await book.take(Charge(window, "k", 5), hold=60)
    book.advance(4)
    await book.take(Charge(window, "k", 3))
    await book.ledger.settle(held.reservation, {"requests": 2})
    assert await book.left(window) == 5
    book.advance(6)
    assert await book.left(window) == 7


async def test_settling_after_the_window_has_passed_changes_nothing(book: Book) -> None:
    window = limit("sliding_window", 10, period=10.0)
    held = await book.take(Charge(window, "k", 5), hold=60)
    book.advance(10)
    await book.take(Charge(window, "k", 1))
    assert await book.ledger.settle(held.reservation, {"requests": 9})
    assert await book.left(window) == 9


@COUNTED
async def test_a_hold_on_nothing_is_charged_when_it_is_settled(book: Book, algorithm: Algorithm) -> None:
    charged = limit(algorithm, 10)
    held = await book.take(Charge(charged, "k", 0), hold=60)
    assert await book.ledger.settle(held.reservation, {"requests": 4})
    assert await book.left(charged) == 6


@ALL
async def test_settling_reaches_every_limit_of_the_decision(book: Book, algorithm: Algorithm) -> None:
    one, two = limit(algorithm, 10, name="one"), limit(algorithm, 20, name="two")
    held = await book.take(Charge(one, "k", 5), Charge(two, "k", 5), hold=60)
    assert await book.ledger.settle(held.reservation, {"requests": 0})
    assert (await book.left(one), await book.left(two)) == (10, 20)


async def test_no_charges_are_no_refusal(book: Book) -> None:
    admission = await book.take()
    assert (admission.states, admission.refused) == ((), None)


async def test_names_and_keys_of_any_text(book: Book) -> None:
    odd = limit("token_bucket", 1, name="a|b", scope="c%|d")
    other = limit("token_bucket", 1, name="b", scope="c%|d|a")
    assert await book.admits(Charge(odd, "é|\x00\ud800\r\n"), Charge(other, "é|\x00\ud800\r\n"))
    assert not await book.admits(Charge(odd, "é|\x00\ud800\r\n"))


@COUNTED
async def test_settling_reaches_only_the_units_it_names(book: Book, algorithm: Algorithm) -> None:
    calls = limit(algorithm, 10, name="calls")
    tokens = limit(algorithm, 1000, name="tokens", cost="tokens")
    prompt = limit(algorithm, 1000, name="prompt", cost="prompt_tokens")
    held = await book.take(Charge(calls, "k"), Charge(tokens, "k", 600), Charge(prompt, "k", 100), hold=60)
    assert await book.ledger.settle(held.reservation, {"tokens": 150, "completion_tokens": 7})
    assert [await book.left(one) for one in (calls, tokens, prompt)] == [9, 850, 900]
    assert not await book.ledger.settle(held.reservation, {"prompt_tokens": 1})


@ALL
async def test_a_changed_unit_starts_afresh(book: Book, algorithm: Algorithm) -> None:
    tokens = limit(algorithm, 1000, cost="tokens")
    await book.take(Charge(tokens, "k", 1000))
    assert await book.left(replace(tokens, cost="requests", capacity=10)) == 10


@ALL
async def test_a_shadow_counts_and_tells_but_never_refuses(book: Book, algorithm: Algorithm) -> None:
    shadow, real = limit(algorithm, 2, name="shadow", shadow=True), limit(algorithm, 5, name="real")
    charges = [Charge(shadow, "k"), Charge(real, "k")]
    admissions = [await book.take(*charges) for _ in range(4)]
    assert [admission.refused for admission in admissions] == [None] * 4
    assert [[state.limit for state in admission.shadowed] for admission in admissions] == [[], [], [shadow], [shadow]]
    assert [[state.limit for state in admission.states] for admission in admissions] == [[real]] * 4
    (told,) = admissions[3].shadowed
    assert told.remaining == 0
    assert told.retry_after > 0
    assert (await book.left(shadow), await book.left(real)) == (0, 1)
    # the count outlives the decision to enforce it
    assert not await book.admits(Charge(replace(shadow, shadow=False), "k"))


@ALL
async def test_what_a_limit_refuses_is_not_charged_to_a_shadow(book: Book, algorithm: Algorithm) -> None:
    shadow, real = limit(algorithm, 9, name="shadow", shadow=True), limit(algorithm, 1, name="real")
    for _ in range(3):
        await book.take(Charge(shadow, "k", 4), Charge(real, "k"))
    assert await book.left(shadow) == 5
    admission = await book.take(Charge(shadow, "k", 10), Charge(real, "k", 1))
    assert admission.refused is not None
    assert admission.refused.limit is real
    assert [(state.limit, state.retry_after) for state in admission.shadowed] == [(shadow, inf)]


@COUNTED
async def test_settling_leaves_out_the_shadow_that_was_not_charged(book: Book, algorithm: Algorithm) -> None:
    shadow, real = limit(algorithm, 10, name="shadow", shadow=True), limit(algorithm, 100, name="real")
    first = await book.take(Charge(shadow, "k", 4), Charge(real, "k", 4), hold=60)
    second = await book.take(Charge(shadow, "k", 7), Charge(real, "k", 7), hold=60)
    assert second.shadowed
    assert await book.ledger.settle(second.reservation, {"requests": 1})
    assert (await book.left(shadow), await book.left(real)) == (6, 95)
    assert await book.ledger.settle(first.reservation, {"requests": 1})
    assert (await book.left(shadow), await book.left(real)) == (9, 98)


# Sliding-window counter. The clock of a book begins at the edge of a window of ten seconds. ------------------------
