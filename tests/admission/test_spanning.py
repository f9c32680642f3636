"""Decisions over several places: in which order, what is given back, and what stands when a step is the last."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tidegate.admission.denials import Denials
from tidegate.admission.keys import Naming, key_tag
from tidegate.admission.memory import MemoryLedger
from tidegate.admission.spanning import SpanningLedger
from tidegate.errors import StoreUnavailable
from tidegate.model import Admission, Charge, Limit

from tests.admission.world import HandClock, limit

TENANT = limit("token_bucket", 10, name="tenant", per=("tenant",))
WINDOW = limit("sliding_window", 10, name="window", per=("tenant", "model"))
PLATFORM = limit("token_bucket", 10, name="platform", scope="platform")
CHAT = limit("token_bucket", 10, name="chat", scope="endpoint:chat")
CHARGES = [Charge(PLATFORM, ""), Charge(TENANT, "acme"), Charge(CHAT, ""), Charge(WINDOW, "acme|small")]


class Place(MemoryLedger):
    """Memory that tells what it was asked, and can be stopped."""

    def __init__(self, tag: str, map_: Map) -> None:
        super().__init__(map_.clock)
        self._tag = tag
        self._asked = map_.asked
        self._map = map_
        self.error: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.enforcement: Literal["exact", "share", "none"] = "exact"

    async def reserve(self, charges: Sequence[Charge], *, hold: float | None = None) -> Admission:
        self._asked.append(self._tag)
        await self._map.pause()
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        answer = self.take(charges, hold=hold, force=self.enforcement == "none")
        if self.enforcement == "none":
            return Admission((), reservation=answer.reservation, enforcement="none")
        return replace(answer, enforcement=self.enforcement)

    async def settle(self, reservation: str, costs: Mapping[str, int]) -> bool:
        self._asked.append(f"{self._tag} settled")
        await self._map.pause()
        return await super().settle(reservation, costs)


class Map:
    def __init__(self) -> None:
        self.asked: list[str] = []
        self.clock = HandClock()
        self.places: dict[str, Place] = {}
        self.closed = False
        self.out = False
        self.pauses: Iterator[int] = itertools.repeat(0)

    async def pause(self) -> None:
        for _ in range(next(self.pauses)):
            await asyncio.sleep(0)

    def tag(self, charge: Charge) -> str:
        return key_tag(Naming("tg", charge.limit).key(charge.key))

    def at(self, tag: str) -> Place:
        return self.places.setdefault(tag, Place(tag, self))

    def exact(self) -> bool:
        return not self.out

    async def ready(self) -> bool:
        return not self.closed

    async def close(self) -> None:
        self.closed = True

    def left(self, *charges: Charge) -> list[int]:
        looks = [(self.at(self.tag(charge)), charge._replace(cost=0)) for charge in charges]
        return [place.take([charge]).states[0].remaining for place, charge in looks]


@pytest.fixture
def map_() -> Map:
    return Map()


@pytest.fixture
def ledger(map_: Map) -> SpanningLedger:
    return SpanningLedger(map_)


async def test_the_tenant_comes_first_then_what_is_shared_in_one_order(map_: Map, ledger: SpanningLedger) -> None:
    admission = await ledger.reserve(CHARGES)
    assert map_.asked == ["acme", "endpoint:chat|", "platform|"]
    assert [state.limit for state in admission.states] == [PLATFORM, TENANT, CHAT, WINDOW]
    assert admission.reservation == ""
    map_.asked.clear()
    await ledger.reserve(CHARGES[::-1])
    assert map_.asked == ["acme", "endpoint:chat|", "platform|"]


async def test_a_tenant_over_its_limit_takes_nothing_of_what_is_shared(map_: Map, ledger: SpanningLedger) -> None:
    await ledger.reserve([Charge(TENANT, "acme", 10)])
    admission = await ledger.reserve(CHARGES, hold=60)
    assert admission.refused is not None
    assert admission.refused.limit is TENANT
    assert [state.remaining for state in admission.states] == [10, 0, 10, 10]
    assert [place for place in map_.asked if place.endswith("settled")] == []
    assert map_.left(*CHARGES) == [10, 0, 10, 10]


async def test_the_longest_wait_of_all_places_is_named(map_: Map, ledger: SpanningLedger) -> None:
    slow = limit("token_bucket", 1, refill=1, period=3600.0, name="slow", scope="platform")
    await ledger.reserve([Charge(slow, ""), Charge(TENANT, "acme", 10)])
    admission = await ledger.reserve([Charge(TENANT, "acme"), Charge(slow, ""), Charge(CHAT, "")])
    assert admission.refused is not None
    assert admission.refused.limit is slow
    assert [state.retry_after for state in admission.states] == [60.0, 3600.0, 0.0]
    assert map_.left(Charge(CHAT, "")) == [10]


async def test_shadows_alone_in_their_place_are_asked_last_and_told(map_: Map, ledger: SpanningLedger) -> None:
    shadow = limit("token_bucket", 1, name="shadow", per=("tenant",), shadow=True)
    await ledger.reserve([Charge(shadow, "beta")])
    map_.asked.clear()
    charges = [Charge(shadow, "beta"), Charge(PLATFORM, "", 6)]
    admission = await ledger.reserve(charges)
    assert map_.asked == ["platform|", "beta"]
    assert admission.refused is None
    assert [state.limit for state in admission.shadowed] == [shadow]
    admission = await ledger.reserve(charges)
    assert admission.refused is not None
    assert [state.limit for state in admission.states] == [PLATFORM]
    assert [state.limit for state in admission.shadowed] == [shadow]
    assert map_.left(Charge(PLATFORM, "")) == [4]


async def test_a_place_that_fails_costs_the_others_nothing(map_: Map, ledger: SpanningLedger) -> None:
    map_.at("platform|").error = StoreUnavailable("out")
    with pytest.raises(StoreUnavailable):
        await ledger.reserve(CHARGES)
    assert map_.left(*CHARGES) == [10, 10, 10, 10]


async def test_a_refusal_stands_when_a_place_cannot_be_looked_at(map_: Map, ledger: SpanningLedger) -> None:
    map_.at("platform|").error = StoreUnavailable("out")
    admission = await ledger.reserve([Charge(CHAT, "", 11), Charge(PLATFORM, ""), Charge(TENANT, "acme")])
    assert admission.refused is not None
    assert [state.limit for state in admission.states] == [CHAT, TENANT]


async def test_the_least_exact_place_says_how_exact_it_was(map_: Map, ledger: SpanningLedger) -> None:
    map_.at("platform|").enforcement = "share"
    assert (await ledger.reserve(CHARGES)).enforcement == "share"
    map_.at("endpoint:chat|").enforcement = "none"
    admission = await ledger.reserve(CHARGES)
    assert admission.enforcement == "none"
    assert [state.limit for state in admission.states] == [PLATFORM, TENANT, WINDOW]


async def test_a_place_that_allows_everything_counts_no_look(map_: Map, ledger: SpanningLedger) -> None:
    map_.at("platform|").enforcement = "none"
    assert (await ledger.reserve([*CHARGES, Charge(CHAT, "", 10)])).refused is not None
    assert map_.left(*CHARGES) == [10, 10, 10, 10]


async def test_a_caller_that_leaves_does_not_leave_half_a_charge(map_: Map, ledger: SpanningLedger) -> None:
    await ledger.reserve([Charge(PLATFORM, "", 10)])
    gate = map_.at("platform|").gate = asyncio.Event()
    caller = asyncio.create_task(ledger.reserve(CHARGES))
    while map_.asked[-1] != "platform|" or len(map_.asked) < 4:
        await asyncio.sleep(0)
    assert map_.left(Charge(TENANT, "acme")) == [9]
    caller.cancel()
    await asyncio.wait([caller])
    gate.set()
    map_.at("platform|").gate = None
    for _ in range(20):
        await asyncio.sleep(0)
    assert map_.left(*CHARGES) == [0, 10, 10, 10]


async def test_what_stands_when_the_process_dies_between_steps_is_one_decision(
    map_: Map, ledger: SpanningLedger
) -> None:
    map_.at("platform|").gate = asyncio.Event()
    caller = asyncio.create_task(ledger.reserve([charge._replace(cost=3) for charge in CHARGES], hold=60))
    while "platform|" not in map_.asked:
        await asyncio.sleep(0)
    # Whoever starts anew knows nothing of the reservation: its cost stands until the limits forget it, once.
    map_.at("platform|").gate = None
    assert (await SpanningLedger(map_).reserve([charge._replace(cost=0) for charge in CHARGES])).refused is None
    assert map_.left(*CHARGES) == [10, 7, 7, 7]
    map_.clock.us += 600 * 1_000_000
    assert map_.left(*CHARGES) == [10, 10, 10, 10]
    caller.cancel()
    for task in ledger._deciding:
        task.cancel()


async def test_closing_waits_for_decisions_to_end(map_: Map, ledger: SpanningLedger) -> None:
    gate = map_.at("platform|").gate = asyncio.Event()
    caller = asyncio.create_task(ledger.reserve(CHARGES))
    while "platform|" not in map_.asked:
        await asyncio.sleep(0)
    closing = asyncio.create_task(ledger.close())
    await asyncio.sleep(0)
    map_.at("platform|").error = StoreUnavailable("closed")
    gate.set()
    await closing
    assert map_.left(*CHARGES) == [10, 10, 10, 10]
    with pytest.raises(StoreUnavailable):
        await caller
    assert not await ledger.ready()


async def test_a_refusal_is_repeated_without_asking_any_place_while_none_is_out(map_: Map) -> None:
    spared: list[None] = []
    ledger = SpanningLedger(map_, denials=Denials(map_.clock, on_spared=lambda: spared.append(None)))
    for taken in ([CHARGES[0]._replace(cost=10)], [CHARGES[3]._replace(cost=9)]):
        assert (await ledger.reserve(taken)).refused is None
    assert (await ledger.reserve(CHARGES)).refused is not None
    map_.asked.clear()
    for charges in (CHARGES, CHARGES[:1], CHARGES[:2]):
        again = await ledger.reserve(charges)
        assert again.refused is not None
        assert again.refused.limit is PLATFORM
    assert not map_.asked
    assert len(spared) == 3
    assert (await ledger.reserve(CHARGES[1:])).refused is None
    map_.out = True
    map_.asked.clear()
    assert (await ledger.reserve(CHARGES)).refused is not None
    assert map_.asked
    map_.out = False
    map_.clock.us += 1_000_000
    map_.asked.clear()
    assert (await ledger.reserve(CHARGES)).refused is not None
    assert map_.asked
    assert len(spared) == 3


async def test_a_share_that_is_spent_is_not_remembered(map_: Map) -> None:
    ledger = SpanningLedger(map_, denials=Denials(map_.clock))
    place = map_.at(map_.tag(CHARGES[0]))
    place.enforcement = "share"
    for _ in range(2):
        map_.asked.clear()
        assert (await ledger.reserve([CHARGES[0]._replace(cost=11)])).refused is not None
        assert map_.asked


async def test_no_charges_are_admitted_at_once(map_: Map, ledger: SpanningLedger) -> None:
    assert await ledger.reserve([], hold=60) == Admission(())
    assert map_.asked == []


async def test_a_reservation_grows_place_by_place_and_is_settled_whole(map_: Map, ledger: SpanningLedger) -> None:
    held = await ledger.reserve(CHARGES, hold=60)
    assert await ledger.extend(held.reservation, {"requests": 2}, hold=60) == "extended"
    assert map_.left(*CHARGES) == [7, 7, 7, 7]
    map_.at("endpoint:chat|").take([Charge(CHAT, "", 6)])
    assert await ledger.extend(held.reservation, {"requests": 2}, hold=120) == "refused"
    assert map_.left(*CHARGES) == [7, 5, 1, 5]  # the last was only renewed
    map_.clock.us += 100 * 1_000_000
    assert await ledger.extend(held.reservation, {}, hold=60) == "extended"
    assert await ledger.settle(held.reservation, {"requests": 0})
    assert await ledger.extend(held.reservation, {}, hold=60) == "gone"
    assert await ledger.extend("r-unknown", {}, hold=60) == "gone"


async def test_a_lease_over_places_needs_a_hold_and_is_given_back(map_: Map, ledger: SpanningLedger) -> None:
    running = limit("concurrency", 2, name="running", per=("tenant",))
    charges = [Charge(running, "acme"), Charge(PLATFORM, "", 4)]
    with pytest.raises(ValueError, match="needs a hold"):
        await ledger.reserve(charges)
    held = [await ledger.reserve(charges, hold=60) for _ in range(3)]
    assert [answer.refused is None for answer in held] == [True, True, False]
    assert await ledger.settle(held[0].reservation, {})
    assert (await ledger.reserve(charges, hold=60)).refused is not None  # by the platform: it has 2 left
    assert map_.left(charges[0]) == [1]


_limits = st.sampled_from([TENANT, WINDOW, PLATFORM, CHAT])
_demand = st.lists(st.tuples(_limits, st.integers(1, 4)), min_size=1, max_size=4)


@settings(deadline=None)
@given(demands=st.lists(_demand, min_size=2, max_size=12), pauses=st.lists(st.integers(0, 4), min_size=1, max_size=30))
def test_however_decisions_interleave_only_what_was_admitted_counts(
    demands: list[list[tuple[Limit, int]]], pauses: list[int]
) -> None:
    async def main() -> None:
        map_ = Map()
        map_.pauses = itertools.cycle(pauses)
        ledger = SpanningLedger(map_)
        keys = {TENANT: "acme", WINDOW: "acme|small", PLATFORM: "", CHAT: ""}
        asked = [[Charge(limit, keys[limit], cost) for limit, cost in demand] for demand in demands]
        answers = await asyncio.gather(*(ledger.reserve(charges, hold=None) for charges in asked))
        used = dict.fromkeys(keys, 0)
        for charges, answer in zip(asked, answers, strict=True):
            assert len(answer.states) == len(charges)
            assert (answer.refused is None) == all(state.retry_after == 0 for state in answer.states)
            for charge in charges if answer.refused is None else ():
                used[charge.limit] += charge.cost
        assert max(used.values()) <= 10
        assert map_.left(*(Charge(limit, key) for limit, key in keys.items())) == [10 - n for n in used.values()]

    asyncio.run(main())
