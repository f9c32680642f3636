"""What a tenant has used is read as the decisions see it, and a reset leaves nothing of it and nobody else's."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import get_args

import pytest
import redis.asyncio
from tidegate.admission.charges import charges_for
from tidegate.admission.live import Live, LiveLimits
from tidegate.admission.open import open_ledger
from tidegate.admission.redis import RedisLedger
from tidegate.clock import SystemClock
from tidegate.errors import StoreUnavailable
from tidegate.model import Algorithm, Charge, Limit, LimitState

from tests.admission.world import limit

DAY = 86_400.0
KINDS = tuple(
    replace(limit(kind, 100, period=DAY, name=kind, cost="tokens", resets="month"), per=("subject",))
    for kind in get_args(Algorithm)
    if kind != "concurrency"
)
PLACES = replace(limit("concurrency", 3, period=600.0, name="places"), per=("subject",))
OWN = replace(limit("sliding_window", 10, period=DAY, scope="tenant:acme"), per=("model",))
SHARED = replace(limit("sliding_window", 10, period=DAY, scope="platform", name="ip"), per=("client_ip",))
SHADOW = replace(KINDS[0], name="trial", capacity=5, shadow=True)
LIMITS = (SHARED, *KINDS, SHADOW, OWN, PLACES)
COUNTED = LIMITS[:-1]


@dataclass
class Desk:
    url: str
    prefix: str
    ledger: RedisLedger

    def charges(self, cost: int = 1, limits: tuple[Limit, ...] = COUNTED, **said: str) -> tuple[Charge, ...]:
        caller = {"tenant": "acme", "subject": "ada", "model": "small", "client_ip": "192.0.2.1"}
        return charges_for(limits, caller | said, cost)

    async def live(self, tenant: str = "acme", limits: tuple[Limit, ...] = LIMITS) -> list[Live]:
        async with LiveLimits(self.url, limits, clock=SystemClock(), prefix=self.prefix) as made:
            return await made.of_tenant(tenant)

    async def reset(self, *live: Live) -> int:
        async with LiveLimits(self.url, LIMITS, clock=SystemClock(), prefix=self.prefix) as made:
            return await made.reset(live)

    async def look(self, *limits: Limit, **said: str) -> tuple[LimitState, ...]:
        return (await self.ledger.reserve(self.charges(0, limits, **said))).states


@pytest.fixture
async def desk(redis_url: str) -> AsyncIterator[Desk]:
    prefix = secrets.token_hex(6)
    ledger = RedisLedger(redis_url, prefix=prefix, timeout=5.0)
    yield Desk(redis_url, prefix, ledger)
    await ledger.close()


async def test_it_stands_as_a_decision_sees_it(desk: Desk) -> None:
    for subject, cost in (("ada", 3), ("bob", 5)):
        assert (await desk.ledger.reserve(desk.charges(cost, subject=subject, model=subject))).refused is None
    live = await desk.live()
    assert [(one.limit, dict(one.of)) for one in live] == [
        *[(one, {"subject": subject}) for one in (*KINDS, SHADOW) for subject in ("ada", "bob")],
        *[(OWN, {"model": model}) for model in ("ada", "bob")],
    ]
    assert [one.used for one in live] == [3, 5] * (len(live) // 2)
    for one in live:
        (state,) = await desk.look(replace(one.limit, shadow=False), **{"model": "ada", **one.of})
        assert one.remaining == state.remaining == one.limit.capacity - one.used
        assert one.reset_after == pytest.approx(state.reset_after, abs=5)
    assert all((one.held, one.reservations) == (0, ()) for one in live)


async def test_what_is_held_and_what_went_over(desk: Desk) -> None:
    held = [await desk.ledger.reserve(desk.charges(4, KINDS), hold=600) for _ in range(3)]
    assert [(one.used, one.held, len(one.reservations)) for one in await desk.live()] == [(12, 12, 3)] * len(KINDS)
    assert await desk.ledger.settle(held[0].reservation, {"tokens": 150})
    live = await desk.live()
    assert [(one.used, one.held, len(one.reservations)) for one in live] == [(158, 8, 2)] * len(KINDS)
    assert [one.remaining for one in live] == [0] * len(KINDS)


async def test_a_reset_is_whole_and_stays_when_what_was_held_is_settled(desk: Desk) -> None:
    held = await desk.ledger.reserve(desk.charges(90, KINDS), hold=600)
    assert await desk.reset(*await desk.live()) == len(KINDS)
    assert await desk.live() == []
    assert (await desk.ledger.reserve(desk.charges(100, KINDS))).refused is None
    await desk.ledger.settle(held.reservation, {"tokens": 10})
    assert [state.remaining for state in await desk.look(*KINDS)] == [0] * len(KINDS)


async def test_a_reset_of_one_limit_leaves_what_else_the_exchange_holds(desk: Desk) -> None:
    held = await desk.ledger.reserve(desk.charges(40, KINDS), hold=600)
    live = await desk.live()
    assert await desk.reset(live[0]) == 1
    assert [(one.limit.name, one.used, one.held) for one in await desk.live()] == [
        (one.name, 40, 40) for one in KINDS[1:]
    ]
    assert await desk.ledger.settle(held.reservation, {"tokens": 10})
    assert [state.remaining for state in await desk.look(*KINDS)] == [100, *[90] * (len(KINDS) - 1)]


async def test_places_are_held_and_a_reset_frees_them_for_good(desk: Desk) -> None:
    held = [await desk.ledger.reserve(desk.charges(1, (PLACES, KINDS[0])), hold=600) for _ in range(3)]
    tokens, places = await desk.live()
    assert (places.limit, places.used, places.remaining, places.held, len(places.reservations)) == (PLACES, 3, 0, 3, 3)
    assert 590 < places.reset_after <= 600
    assert await desk.reset(places) == 1
    assert [(one.limit, one.held) for one in await desk.live()] == [(tokens.limit, 3)]
    for _ in range(3):
        assert (await desk.ledger.reserve(desk.charges(1, (PLACES,)), hold=600)).refused is None
    for one in held:
        assert await desk.ledger.extend(one.reservation, {"tokens": 1}, hold=600) == "extended"
        assert await desk.ledger.settle(one.reservation, {"tokens": 0})
    assert (await desk.ledger.reserve(desk.charges(1, (PLACES,)), hold=600)).refused is not None
    assert [(one.limit, one.used) for one in await desk.live()] == [(PLACES, 3)]


async def test_a_hold_lasts_no_longer_for_a_reset(desk: Desk) -> None:
    await desk.ledger.reserve(desk.charges(1, KINDS), hold=600)
    live = await desk.live()
    await desk.reset(live[0])
    async with redis.asyncio.Redis.from_url(desk.url) as client:
        assert 590 < await client.ttl(live[0].reservations[0]) <= 600


async def test_nobody_elses_is_seen_or_reset(desk: Desk) -> None:
    tenants = ["acme", "acme2", "acm*", "a|c", "", "hold"]
    for tenant in tenants:
        await desk.ledger.reserve(desk.charges(1, (SHARED, *KINDS), tenant=tenant), hold=600)
    for number, tenant in enumerate(tenants):
        live = await desk.live(tenant)
        assert [(one.used, len(one.reservations)) for one in live] == [(1, 1)] * len(KINDS)
        await desk.reset(*live)
        for other in tenants[number + 1 :]:
            assert len(await desk.live(other)) == len(KINDS)
    assert [state.remaining for state in await desk.look(SHARED)] == [10 - len(tenants)]


async def test_many_keys(desk: Desk) -> None:
    for number in range(150):
        await desk.ledger.reserve(desk.charges(number + 1, KINDS[:2], subject=f"s{number:03}"), hold=600)
    live = await desk.live()
    assert len(live) == 2 * 100 + 0  # the others asked for more than the limit
    assert [one.used for one in live] == [*range(1, 101)] * 2
    assert all(len(one.reservations) == 1 for one in live)
    assert await desk.reset(*live) == 200


async def test_numbers_that_changed_are_the_policys_and_what_it_no_longer_has_is_left_out(desk: Desk) -> None:
    await desk.ledger.reserve(desk.charges(10))
    lowered = tuple(replace(one, capacity=4) for one in KINDS)
    assert [(one.used, one.remaining) for one in await desk.live(limits=lowered)] == [(10, 0)] * len(KINDS)
    renamed = tuple(replace(one, name="other") for one in LIMITS)
    assert await desk.live(limits=renamed) == []
    regrouped = tuple(replace(one, per=("subject", "model", "endpoint")) for one in KINDS)
    assert await desk.live(limits=regrouped) == []


async def test_values_that_are_no_words_are_shown_as_they_are_kept(desk: Desk) -> None:
    await desk.ledger.reserve(desk.charges(1, KINDS[:1], subject="ada lovelace | {x}"))
    (one,) = await desk.live()
    assert one.of["subject"].startswith("~")
    assert await desk.reset(one) == 1


async def test_other_keys_with_the_tag_of_a_tenant_are_left_alone(desk: Desk) -> None:
    await desk.ledger.reserve(desk.charges(1, KINDS[:1], tenant="endpoint:chat"))
    async with redis.asyncio.Redis.from_url(desk.url) as client:
        other = f"{desk.prefix}|{{endpoint:chat}}|line"
        await client.zadd(other, {"a-ticket": 1})
        live = await desk.live("endpoint:chat")
        assert [one.used for one in live] == [1]
        await desk.reset(*live)
        assert await client.exists(other)


async def test_it_asks_nothing_that_stops_redis(desk: Desk) -> None:
    await desk.ledger.reserve(desk.charges(1), hold=600)
    async with redis.asyncio.Redis.from_url(desk.url) as client:
        before = await client.info("commandstats")
        await desk.reset(*await desk.live())
        after = await client.info("commandstats")
    assert after["cmdstat_scan"]["calls"] > before.get("cmdstat_scan", {"calls": 0})["calls"]
    assert "cmdstat_keys" not in after


async def test_in_a_cluster(cluster_url: str) -> None:
    ledger = await open_ledger(cluster_url, clock=SystemClock(), timeout=5.0)
    tenants = [f"{secrets.token_hex(6)}-{number}" for number in range(6)]
    for tenant in tenants:
        caller = {"tenant": tenant, "subject": "ada", "model": "small", "client_ip": "192.0.2.1"}
        admission = await ledger.reserve(charges_for((SHARED, *KINDS, PLACES), caller, 1), hold=600)
        assert admission.refused is None
    unknown = cluster_url.replace("://", "://127.0.0.1:1,")
    async with LiveLimits(unknown, LIMITS, clock=SystemClock()) as made:
        for number, tenant in enumerate(tenants):
            live = await made.of_tenant(tenant)
            assert [(one.limit, one.used, one.held, len(one.reservations)) for one in live] == [
                (one, 1, 1, 1) for one in (*KINDS, PLACES)
            ]
            assert await made.reset(live) == len(live)
            assert await made.of_tenant(tenant) == []
            assert all([len(await made.of_tenant(other)) == len(live) for other in tenants[number + 1 :]])
    await ledger.close()


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1", "redis+cluster://127.0.0.1:1"])
async def test_a_store_that_is_not_there_is_said(url: str) -> None:
    async with LiveLimits(url, LIMITS, clock=SystemClock()) as made:
        with pytest.raises(StoreUnavailable, match="the limit store failed: "):
            await made.of_tenant("acme")
