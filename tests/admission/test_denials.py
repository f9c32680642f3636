"""A repeated refusal: only ever a refusal, of the very limit, key and cost, and never older than its bound."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tidegate.admission.denials import Denials
from tidegate.admission.reference import decide
from tidegate.model import Admission, Algorithm, Charge, Limit
from tidegate.outward import limit_headers, retry_after

from tests.admission.world import SECOND, HandClock, ReferenceLedger, limit

MINUTE = limit("sliding_window", 10)
TOKENS = limit("sliding_window", 10, name="tpm", cost="tokens")


@dataclass
class Front:
    """The reference store behind its denials, as an `OutageLedger` whose store is well puts them together."""

    clock: HandClock = field(default_factory=HandClock)
    max_keys: int = 10_000
    travel: float = 0.0
    asked: int = 0
    spared: int = 0

    def __post_init__(self) -> None:
        self.store = ReferenceLedger(self.clock)
        self.denials = Denials(self.clock, max_keys=self.max_keys, on_spared=self._spare)

    def _spare(self) -> None:
        self.spared += 1

    async def take(self, *charges: Charge, hold: float | None = None) -> Admission:
        now = self.denials.now()
        known = self.denials.refusal(charges, now)
        if known is not None:
            return known
        self.asked += 1
        self.advance(self.travel)
        admission = await self.store.reserve(charges, hold=hold)
        self.advance(self.travel)
        if admission.refused is not None:
            self.denials.remember(charges, admission, now)
        return admission

    def would_admit(self, charges: Sequence[Charge]) -> bool:
        """What the store would say now, without asking it."""
        _, outcomes = decide(self.store.states, charges, self.clock.us)
        return all(o.retry_us == 0 or c.limit.shadow for c, o in zip(charges, outcomes, strict=True))

    def advance(self, seconds: float) -> None:
        self.clock.us += round(seconds * SECOND)


async def _exhausted(front: Front, *limits: Limit, key: str = "k") -> None:
    for each in limits:
        assert (await front.take(Charge(each, key, each.capacity))).refused is None
        assert (await front.take(Charge(each, key))).refused is not None


@pytest.mark.parametrize("algorithm", sorted(set(get_args(Algorithm)) - {"concurrency"}))
async def test_a_key_that_is_over_costs_one_store_call_a_second(algorithm: Algorithm) -> None:
    front = Front()
    await _exhausted(front, limit(algorithm, 10, period=3600.0))
    before = front.asked
    for _ in range(1000):
        front.advance(0.005)
        assert (await front.take(Charge(limit(algorithm, 10, period=3600.0), "k"))).refused is not None
    assert front.asked == before + 1000  # an equal limit of another policy is another limit
    charged = limit(algorithm, 10, period=3600.0)
    before = front.asked
    for _ in range(1000):
        front.advance(0.005)
        assert (await front.take(Charge(charged, "k"))).refused is not None
    assert front.asked - before in (5, 6)
    assert front.spared == 1000 - (front.asked - before)


async def test_it_ends_with_the_wait_where_that_is_shorter() -> None:
    front = Front()
    await _exhausted(front, quick := limit("sliding_window", 10, period=0.25))
    front.advance(0.249999)
    assert (await front.take(Charge(quick, "k"))).refused is not None
    front.advance(0.000001)
    assert (await front.take(Charge(quick, "k"))).refused is None


async def test_it_is_of_one_key_one_limit_and_costs_that_are_not_lower() -> None:
    front = Front()
    assert (await front.take(Charge(MINUTE, "k", 7))).refused is None
    assert (await front.take(Charge(MINUTE, "k", 5))).refused is not None
    asked = front.asked
    for cost in (5, 6, 11):
        assert (await front.take(Charge(MINUTE, "k", cost))).refused is not None
    assert front.asked == asked
    assert (await front.take(Charge(MINUTE, "k", 4))).refused is not None
    assert (await front.take(Charge(MINUTE, "k", 3))).refused is None
    assert (await front.take(Charge(MINUTE, "other", 5))).refused is None
    assert (await front.take(Charge(TOKENS, "k", 5))).refused is None
    assert front.asked == asked + 4


async def test_it_stands_while_other_limits_of_the_decision_have_room() -> None:
    front = Front()
    await _exhausted(front, MINUTE)
    asked = front.asked
    admission = await front.take(Charge(TOKENS, "k", 3), Charge(MINUTE, "k"))
    assert front.asked == asked
    assert admission.refused is not None
    assert [state.limit for state in admission.states] == [MINUTE]
    assert front.would_admit([Charge(TOKENS, "k", 10)])


@pytest.mark.parametrize("changed", [replace(MINUTE, capacity=11), replace(MINUTE, period=0.1), replace(MINUTE)])
async def test_a_changed_limit_keeps_no_old_denial(changed: Limit) -> None:
    front = Front()
    await _exhausted(front, MINUTE)
    front.advance(0.2)
    asked = front.asked
    assert ((await front.take(Charge(changed, "k"))).refused is None) == (changed != MINUTE)
    assert front.asked == asked + 1


@pytest.mark.parametrize(("charged", "most"), [(MINUTE, 1.0), (TOKENS, 0.1)])
async def test_room_made_elsewhere_is_seen_within_the_bound(charged: Limit, most: float) -> None:
    front = Front()
    held = await front.take(Charge(charged, "k", 10), hold=600)
    assert (await front.take(Charge(charged, "k"))).refused is not None
    assert await front.store.settle(held.reservation, {charged.cost: 0})  # by another replica
    front.advance(most - 0.000001)
    assert (await front.take(Charge(charged, "k"))).refused is not None
    front.advance(0.000001)
    assert (await front.take(Charge(charged, "k"))).refused is None


async def test_its_times_count_down_and_its_headers_name_only_what_is_known() -> None:
    front = Front()
    await _exhausted(front, MINUTE)
    first = await front.take(Charge(TOKENS, "k", 3), Charge(MINUTE, "k"))
    front.advance(0.9)
    later = await front.take(Charge(TOKENS, "k", 3), Charge(MINUTE, "k"))
    assert first.refused is not None
    assert later.refused is not None
    assert later.refused.retry_after == pytest.approx(first.refused.retry_after - 0.9)
    assert later.refused.reset_after == pytest.approx(first.refused.reset_after - 0.9)
    assert later.refused.remaining == 0
    assert later.enforcement == "exact"
    assert retry_after(later.refused) == (("retry-after", "60"),)
    assert dict(limit_headers(later)) == {
        "ratelimit-policy": '"rpm";q=10;w=60',
        "ratelimit": '"rpm";r=0;t=60',
        "x-ratelimit-limit-requests": "10",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "1m0s",
    }


async def test_the_limit_with_the_longest_wait_is_named() -> None:
    front = Front()
    slow = limit("quota", 10, name="day", resets="day")
    await _exhausted(front, MINUTE, slow)
    admission = await front.take(Charge(MINUTE, "k"), Charge(slow, "k"))
    assert admission.refused is not None
    assert admission.refused.limit == slow
    assert [state.limit for state in admission.states] == [MINUTE, slow]


async def test_a_slow_store_makes_nothing_last_longer() -> None:
    front = Front(travel=0.02)
    quick = limit("sliding_window", 10, period=0.5)
    assert (await front.take(Charge(quick, "k", 10))).refused is None
    refused = await front.take(Charge(quick, "k"))
    assert refused.refused is not None
    while not front.would_admit([Charge(quick, "k")]):
        front.advance(0.001)
    assert (await front.take(Charge(quick, "k"))).refused is None


async def test_a_cost_over_the_capacity_is_refused_for_ever() -> None:
    front = Front()
    for _ in range(2):
        admission = await front.take(Charge(MINUTE, "k", 11))
        assert admission.refused is not None
        assert admission.refused.retry_after == inf
        assert admission.refused.remaining == 10
    assert front.asked == 1


async def test_a_shadow_limit_denies_nobody_and_is_not_denied() -> None:
    front = Front()
    shadow = replace(MINUTE, name="trial", shadow=True)
    assert (await front.take(Charge(shadow, "k", 10))).refused is None
    await _exhausted(front, MINUTE)
    asked = front.asked
    assert (await front.take(Charge(shadow, "k"), Charge(MINUTE, "k"))).refused is not None
    assert front.asked == asked
    for _ in range(2):
        admission = await front.take(Charge(shadow, "k"))
        assert admission.refused is None
        assert [state.limit for state in admission.shadowed] == [shadow]
    assert front.asked == asked + 2


async def test_a_shadow_limit_that_would_have_refused_is_named_beside_a_repeated_refusal() -> None:
    front = Front()
    shadow = replace(MINUTE, name="trial", capacity=4, shadow=True)
    for _ in range(10):
        assert (await front.take(Charge(shadow, "k"), Charge(MINUTE, "k"))).refused is None
    admissions = [await front.take(Charge(shadow, "k"), Charge(MINUTE, "k")) for _ in range(3)]
    assert front.spared == 2
    for admission in admissions:
        assert admission.refused is not None
        assert [state.limit for state in admission.states] == [MINUTE]
        assert [state.limit for state in admission.shadowed] == [shadow]
    asked = front.asked
    assert (await front.take(Charge(shadow, "k"))).refused is None
    assert front.asked == asked + 1


async def test_charges_that_were_judged_on_top_of_each_other_are_not_kept() -> None:
    front = Front()
    assert (await front.take(Charge(MINUTE, "k", 6), Charge(MINUTE, "k", 6))).refused is not None
    assert len(front.denials) == 0
    assert (await front.take(Charge(MINUTE, "k", 6))).refused is None


async def test_a_place_that_may_be_given_back_at_any_moment_is_always_asked_for() -> None:
    front = Front()
    place = Charge(limit("concurrency", 1, period=600.0, name="places"), "k")
    held = await front.take(place, Charge(MINUTE, "k", 9), hold=600)
    for _ in range(2):
        refused = (await front.take(place, Charge(MINUTE, "k"), hold=600)).refused
        assert refused is not None
        assert refused.limit.name == "places"
    assert len(front.denials) == 0
    assert (await front.take(place, Charge(MINUTE, "k", 2), hold=600)).refused is not None
    await front.store.settle(held.reservation, {})
    assert (await front.take(place, hold=600)).refused is None
    assert (await front.take(place, Charge(MINUTE, "k", 2), hold=600)).refused is not None
    assert front.asked == 5


async def test_they_are_bounded_and_the_oldest_go_first() -> None:
    front = Front(max_keys=3)
    for key in "abcd":
        await _exhausted(front, MINUTE, key=key)
    assert len(front.denials) == 3
    asked = front.asked
    for key in "bcd":
        assert (await front.take(Charge(MINUTE, key))).refused is not None
    assert front.asked == asked
    assert (await front.take(Charge(MINUTE, "a"))).refused is not None
    assert front.asked == asked + 1
    assert len(front.denials) == 3


async def test_the_lower_of_two_costs_in_flight_is_kept() -> None:
    front = Front()
    assert (await front.take(Charge(MINUTE, "k", 10))).refused is None
    now = front.denials.now()
    for cost in (2, 5):
        charge = [Charge(MINUTE, "k", cost)]
        front.denials.remember(charge, await front.store.reserve(charge), now)
    asked = front.asked
    assert (await front.take(Charge(MINUTE, "k", 2))).refused is not None
    assert front.asked == asked


# Any history ------------------------------------------------------------------------------------------------------

_LIMITS = (
    limit("token_bucket", 10, refill=7, period=3.0, name="bucket", cost="tokens"),
    limit("token_bucket", 4, refill=1, period=0.2, name="quick"),
    limit("sliding_window", 10, period=3.0, name="window"),
    limit("sliding_window", 8, period=0.05, name="short", cost="tokens"),
    limit("sliding_window_counter", 10, period=3.0, name="counter"),
    limit("quota", 10, name="hour"),
    limit("sliding_window", 6, period=5.0, name="trial", shadow=True),
)
_RAISED = tuple(replace(one, capacity=one.capacity + 3) for one in _LIMITS)
_take = st.builds(
    lambda generation, picked, keys, costs, hold: (
        tuple(
            Charge(generation[which], key, cost) for which, key, cost in zip(sorted(picked), keys, costs, strict=False)
        ),
        hold,
    ),
    st.sampled_from([_LIMITS, _LIMITS, _RAISED]),
    st.sets(st.integers(0, len(_LIMITS) - 1), min_size=1, max_size=4),
    st.lists(st.sampled_from("ab"), min_size=4, max_size=4),
    st.lists(st.integers(0, 12), min_size=4, max_size=4),
    st.none() | st.just(600.0),
)
_settle = st.tuples(st.integers(0, 5), st.sampled_from([{"tokens": 0}, {"tokens": 3}, {"requests": 0, "tokens": 0}]))
_pass = st.integers(0, 2 * SECOND) | st.sampled_from([1, 50_000, 99_999, 100_000, 999_999, 1_000_000])


@settings(max_examples=400, deadline=None)
@given(
    st.lists(_take | _take | _settle | _pass, max_size=60), st.sampled_from([2, 10_000]), st.sampled_from([0.0, 0.004])
)
def test_no_history_admits_more_or_repeats_a_refusal_past_its_bound(
    steps: list[tuple[tuple[Charge, ...], float | None] | tuple[int, dict[str, int]] | int], most: int, travel: float
) -> None:
    async def main() -> None:
        front = Front(max_keys=most, travel=travel)
        held: list[str] = []
        gave_back = -inf
        for one in steps:
            if isinstance(one, int):
                front.clock.us += one
            elif isinstance(one[0], int):
                if held:
                    await front.store.settle(held[one[0] % len(held)], one[1])  # type: ignore[arg-type]
                    gave_back = front.clock.monotonic()
            else:
                charges, hold = one
                wanted = front.would_admit(charges)
                spared = front.spared
                now = front.clock.monotonic()
                admission = await front.take(*charges, hold=hold)  # type: ignore[arg-type]
                if admission.reservation:
                    held.append(admission.reservation)
                if front.spared == spared:
                    continue  # the store's own word
                assert admission.refused is not None
                assert not admission.refused.limit.shadow
                assert all(state.retry_after > 0 for state in admission.states)
                if wanted:  # only what was given back since can have made room, and not for long
                    assert now - gave_back < 1.0
                    if all(state.limit.cost != "requests" for state in admission.states):
                        assert now - gave_back < 0.1

    asyncio.run(main())
