"""Memory and Redis give the numbers of the reference, for any sequence of decisions, what becomes of them and times."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import get_args

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tidegate.admission.arithmetic import EXACT, drain, rate, room_after, wait, weighted
from tidegate.admission.reference import fresh, step
from tidegate.model import Algorithm, Charge, Limit

from tests.admission.world import SECOND, Book, book, limit

LIMITS = (
    limit("token_bucket", 10, refill=7, period=3.0, name="bucket", cost="tokens"),
    limit("token_bucket", 1000, refill=999_983, period=86_400.0, name="prime"),
    limit("token_bucket", 3, refill=1, period=0.000001, name="quick"),
    limit("sliding_window", 10, period=3.0, name="window"),
    limit("sliding_window", 400, period=20.0, name="long", cost="tokens"),
    limit("sliding_window_counter", 10, period=3.0, name="counter"),
    limit("sliding_window_counter", 2**40, period=31 * 86_400.0, name="wide", cost="tokens"),
    limit("quota", 10, name="hour"),
    limit("quota", 300, name="day", resets="day", time_zone="Asia/Kolkata", cost="tokens"),
    limit("concurrency", 5, period=3.0, name="few"),
    limit("concurrency", 300, period=20.0, name="many"),
    limit("quota", 2**40, name="month", resets="month", cost="money"),
    limit("token_bucket", 2**40, refill=999_999_999_989, period=31 * 86_400.0, name="spend", cost="money"),
)
LOWERED = tuple(replace(one, capacity=one.capacity // 2) for one in LIMITS)
SHADOWED = tuple(replace(one, shadow=number % 2 == 0) for number, one in enumerate(LIMITS))
SLOWED = tuple(
    replace(one, resets="month", time_zone="Africa/Monrovia")
    if one.algorithm == "quota"
    else replace(one, period=one.period * 3, refill=one.refill and one.refill + 1)
    for one in LIMITS
)


@dataclass(frozen=True)
class Decide:
    charges: tuple[Charge, ...]
    hold: float | None


@dataclass(frozen=True)
class Settle:
    which: int
    costs: dict[str, int]


@dataclass(frozen=True)
class Extend:
    which: int
    costs: dict[str, int]
    hold: float


@dataclass(frozen=True)
class Pass:
    us: int


def decisions(generations: tuple[tuple[Limit, ...], ...], holds: tuple[float, ...]) -> st.SearchStrategy[Decide]:
    """Decisions under one generation of the policy or the other, never under both at once."""
    costs = st.integers(0, 12) | st.sampled_from([1, 1, 1, 200, 2**39 - 1, 2**41])
    lists = [
        st.lists(st.builds(Charge, st.sampled_from(limits), st.sampled_from(["a", "b"]), costs), min_size=1, max_size=4)
        for limits in generations
    ]

    def held(charges: list[Charge], hold: float | None) -> Decide:
        leases = any(charge.limit.algorithm == "concurrency" for charge in charges)
        return Decide(tuple(charges), holds[0] if leases and hold is None else hold)

    return st.builds(held, st.one_of(*lists), st.none() | st.sampled_from(holds))


def extensions(holds: tuple[float, ...]) -> st.SearchStrategy[Extend]:
    costs = st.integers(0, 8) | st.sampled_from([200, 2**50])
    by_unit = st.dictionaries(st.sampled_from(["requests", "tokens"]), costs)
    return st.builds(Extend, st.integers(0, 3), by_unit, st.sampled_from(holds))


settlement = st.builds(
    Settle,
    st.integers(0, 3),
    st.dictionaries(st.sampled_from(["requests", "tokens", "money"]), st.integers(0, 15) | st.just(2**50)),
)
Step = Decide | Settle | Extend | Pass
forward = st.builds(
    Pass,
    st.integers(0, 4 * SECOND)
    | st.sampled_from([1, 3 * SECOND, 100 * SECOND, 3600 * SECOND, 20 * 86_400 * SECOND + 7]),
)
backward = st.builds(Pass, st.integers(-5 * SECOND, -1))


async def _play(played: Book, steps: list[Step]) -> list[object]:
    seen: list[object] = []
    held: list[str] = []
    for one in steps:
        if isinstance(one, Pass):
            played.clock.us += one.us
        elif isinstance(one, Settle):
            if held:
                seen.append(await played.ledger.settle(held[one.which % len(held)], one.costs))
        elif isinstance(one, Extend):
            if held:
                seen.append(await played.ledger.extend(held[one.which % len(held)], one.costs, hold=one.hold))
        else:
            admission = await played.take(*one.charges, hold=one.hold)
            if admission.reservation:
                held.append(admission.reservation)
            shadowed = sorted(admission.shadowed, key=repr)  # who comes first is nobody's business
            seen.append((admission.states, admission.refused, shadowed, bool(admission.reservation)))
    return seen


def assert_agreement(kind: str, url: str, steps: list[Step]) -> None:
    async def main() -> None:
        played = book(kind, url)
        try:
            assert await _play(played, steps) == await _play(book("reference", ""), steps)
        finally:
            await played.ledger.close()

    asyncio.run(main())


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        decisions((LIMITS, LOWERED, SHADOWED), (0.5, 30.0)) | settlement | extensions((0.5, 7.0)) | forward, max_size=60
    )
)
def test_memory_agrees(steps: list[Step]) -> None:
    assert_agreement("memory", "", steps)


# A hold in Redis ends by the real clock, so it does not end here.
_decision = decisions((LIMITS, LOWERED, SHADOWED, SLOWED), (1e8,))
_ONE = Charge(LIMITS[4], "a")
LONG = [Decide((_ONE,) * 300, None), Decide((_ONE._replace(cost=390),), None), Pass(21 * SECOND), Decide((_ONE,), None)]


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    steps=st.lists(_decision | _decision | settlement | extensions((1e8,)) | forward | backward, max_size=40),
)
@example(steps=LONG)
def test_redis_agrees(redis_url: str, steps: list[Step]) -> None:
    assert_agreement("redis", redis_url, steps)


@st.composite
def few_limits(draw: st.DrawFn, *, back: bool) -> list[Step]:
    """Many steps on few limits: what a reservation goes through that lives longer than what it was charged to."""
    limits = draw(
        st.lists(st.sampled_from(LIMITS + SHADOWED[::2]), min_size=1, max_size=2, unique_by=lambda one: one.name)
    )
    charge = st.builds(Charge, st.sampled_from(limits), st.just("k"), st.sampled_from([1, 1, 2, 0]))
    costs = st.fixed_dictionaries({"requests": st.integers(0, 4)}, optional={"tokens": st.integers(0, 60)})
    later = st.sampled_from([1, SECOND // 2, SECOND, 3 * SECOND, 3600 * SECOND, 86_400 * SECOND])
    return draw(
        st.lists(
            st.builds(Decide, st.lists(charge, min_size=1, max_size=2).map(tuple), st.just(1e8))
            | st.builds(Extend, st.integers(0, 1), costs | st.just({}), st.just(1e8))
            | st.builds(Settle, st.integers(0, 3), costs)
            | st.builds(Pass, later)
            | (backward if back else st.builds(Pass, later)),
            min_size=6,
            max_size=30,
        )
    )


@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(few_limits(back=False))
def test_memory_agrees_on_what_becomes_of_reservations(steps: list[Step]) -> None:
    assert_agreement("memory", "", steps)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=few_limits(back=True))
def test_redis_agrees_on_what_becomes_of_reservations(redis_url: str, steps: list[Step]) -> None:
    assert_agreement("redis", redis_url, steps)


# Two keys are two places. What is given back leaves no trace but its time, so this clock does not step back.
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(_decision | _decision | settlement | forward, max_size=30))
def test_a_cluster_agrees(cluster_url: str, steps: list[Step]) -> None:
    assert_agreement("cluster", cluster_url, steps)


_BIG = st.integers(2**40 - 2**20, 2**40) | st.integers(1, 2**40)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    window=st.integers(31 * 86_400 * SECOND - 2**20, 31 * 86_400 * SECOND),
    rounds=st.lists(st.tuples(_BIG, st.integers(0, 2**42), _BIG), min_size=12, max_size=12),
)
def test_redis_divides_what_no_double_holds(redis_url: str, window: int, rounds: list[tuple[int, int, int]]) -> None:
    counters = [
        limit("sliding_window_counter", 2**40, period=window / SECOND, name=str(number))
        for number in range(len(rounds))
    ]
    steps: list[Step] = [
        Decide(tuple(Charge(one, "k", before) for one, (before, _, _) in zip(counters, rounds, strict=True)), None),
        Pass(window),
    ]
    for one, (_, later, cost) in zip(counters, rounds, strict=True):
        steps += [Decide((Charge(one, "k", cost),), None), Pass(later // len(rounds))]

    assert_agreement("redis", redis_url, steps)


@settings(deadline=None)
@given(
    algorithm=st.sampled_from(["token_bucket", "sliding_window", "sliding_window_counter"]),
    capacity=st.integers(1, 30),
    refill=st.integers(1, 50),
    period=st.integers(1, 20 * SECOND),
    calls=st.lists(st.tuples(st.integers(0, 5 * SECOND), st.integers(1, 12)), max_size=60),
)
def test_no_window_admits_more_than_the_limit(
    algorithm: Algorithm, capacity: int, refill: int, period: int, calls: list[tuple[int, int]]
) -> None:
    charged = limit(algorithm, capacity, refill=refill, period=period / SECOND)
    played = book("memory", "")
    admitted: list[tuple[int, int]] = []

    async def main() -> None:
        for later, cost in calls:
            played.clock.us += later
            if await played.admits(Charge(charged, "k", cost)):
                admitted.append((played.clock.us, cost))

    asyncio.run(main())
    for start, (begin, _) in enumerate(admitted):
        for end in range(start, len(admitted)):
            spent = sum(cost for _, cost in admitted[start : end + 1])
            elapsed = admitted[end][0] - begin
            if algorithm == "token_bucket":
                assert spent * period <= capacity * period + elapsed * refill
            elif elapsed < period:
                one = algorithm == "sliding_window" or admitted[end][0] // period == begin // period
                assert spent <= capacity if one else spent < 2 * capacity


@settings(deadline=None, max_examples=200)
@given(
    capacity=st.integers(1, 5),
    calls=st.lists(st.tuples(st.integers(0, 3 * SECOND), st.integers(0, 2), st.integers(0, 9)), max_size=80),
)
def test_no_more_run_at_once_than_may_whether_they_end_are_renewed_or_crash(
    capacity: int, calls: list[tuple[int, int, int]]
) -> None:
    charged = limit("concurrency", capacity, period=10.0)
    played = book("memory", "")
    running: dict[str, int] = {}

    async def main() -> None:
        for later, cost, which in calls:
            played.clock.us += later
            for name, until in list(running.items()):
                if until <= played.clock.us:
                    del running[name]  # it crashed
            names = list(running)
            if which < len(names):
                name = names[which]
                if cost:
                    assert await played.ledger.extend(name, {}, hold=100) == "extended"
                    running[name] = played.clock.us + 10 * SECOND
                else:
                    assert await played.ledger.settle(name, {})
                    del running[name]
            admission = await played.take(Charge(charged, "k"), hold=100)
            assert (admission.refused is None) == (len(running) < capacity)
            if admission.reservation:
                running[admission.reservation] = played.clock.us + 10 * SECOND

    asyncio.run(main())


@settings(deadline=None)
@given(st.integers(1, 10**9), st.integers(1, 40 * 86_400 * SECOND))
def test_a_rate_stays_within_doubles_and_is_as_good_as_exact(refill: int, period: int) -> None:
    p, r = rate(limit("token_bucket", 1, refill=refill, period=period / SECOND))
    assert p * r <= EXACT
    assert abs(r * period - refill * p) * 10**12 < refill * p


@given(st.integers(0, 10**6), st.integers(0, 10**9), st.integers(1, 10**9), st.integers(1, 10**6))
def test_after_the_wait_and_not_before_it_has_come_back(spent: int, back: int, p: int, r: int) -> None:
    back = back % p if spent else 0
    full = wait(spent, back, p, r)
    assert drain(spent, back, full, p, r) == (0, 0)
    if full > 0:
        assert drain(spent, back, full - 1, p, r) != (0, 0)


@pytest.mark.parametrize("algorithm", get_args(Algorithm))
def test_a_refusal_hands_back_the_state_it_was_given(algorithm: Algorithm) -> None:
    charged = limit(algorithm, 2)
    state, _ = step(charged, fresh(charged), 5, 2)
    again, outcome = step(charged, state, 6, 1)
    assert again is state
    assert outcome.retry_us


@given(st.data(), st.integers(1, 2**42), st.integers(1, 2**40))
def test_after_the_wait_and_not_before_it_a_counter_has_room(data: st.DataObject, window: int, capacity: int) -> None:
    into = data.draw(st.integers(0, window - 1))
    current, cost = data.draw(st.integers(0, capacity)), data.draw(st.integers(1, capacity))
    previous = data.draw(st.integers(0, 2**44))
    if current + weighted(previous, into, window) + cost <= capacity:
        return
    after = into + room_after(current, previous, cost, capacity, into, window)

    def fits(at: int) -> bool:
        now, before = (current, previous) if at < window else (0, current)
        return now + weighted(before, at % window, window) + cost <= capacity

    assert into < after <= 2 * window
    assert after == 2 * window or fits(after)
    assert not fits(after - 1)
