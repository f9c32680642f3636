"""A master of a cluster stops, dies, freezes or is replaced: its own slots are under the outage's rule, no others."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from redis.crc import key_slot
from tidegate.admission.ledger import Ledger
from tidegate.admission.open import open_ledger
from tidegate.admission.outage import OnOutage, State
from tidegate.clock import SystemClock
from tidegate.errors import StoreUnavailable
from tidegate.model import Charge

from tests.admission.redis_cluster import RedisCluster, running_cluster
from tests.admission.world import limit

DAY = 86_400.0
TENANT = limit("token_bucket", 1000, period=DAY, name="tenant", per=("tenant",))
SMALL = limit("sliding_window", 10, period=DAY, name="small", per=("tenant",))
SHARED = limit("quota", 1000, resets="month", name="shared", scope="platform", per=("model",))


class Desk:
    """A ledger with its breakers, and what it has told."""

    def __init__(self, cluster: RedisCluster) -> None:
        self.cluster = cluster
        self.rule: OnOutage = "share"
        self.states: list[State] = []
        self.silence = ""
        self.ledger: Ledger
        self.here = cluster.tags_of(0, 3)
        self.there = cluster.tags_of(1, 3)

    async def open(self, replicas: int = 2) -> None:
        self.ledger = await open_ledger(
            self.cluster.url,
            clock=SystemClock(),
            timeout=0.25,
            replicas=replicas,
            on_outage=lambda: self.rule,
            on_state=self.states.append,
            on_silence=self._hush,
        )

    def _hush(self, reason: str) -> None:
        self.silence = reason

    async def take(self, *charges: Charge, hold: float | None = None) -> str:
        """Who counted."""
        answer = await self.ledger.reserve(charges, hold=hold)
        return answer.enforcement if answer.refused is None else "refused"

    async def left(self, charge: Charge) -> int:
        return (await self.ledger.reserve([charge._replace(cost=0)])).states[0].remaining

    async def until(self, condition: Callable[[], Awaitable[bool]], seconds: float = 20.0) -> None:
        async with asyncio.timeout(seconds):
            while not await condition():
                await asyncio.sleep(0.02)

    async def exact(self, charge: Charge) -> bool:
        """Whether the store counts again, and what it was owed is there."""
        return (await self.ledger.reserve([charge._replace(cost=0)])).enforcement == "exact"


@pytest.fixture
async def desk(cluster: RedisCluster) -> AsyncIterator[Desk]:
    made = Desk(cluster)
    await made.open()
    yield made
    await made.ledger.close()


def _shared_on(cluster: RedisCluster, number: int) -> Charge:
    """A charge that tenants share, on a slot of that master."""
    models = (f"m{i}" for i in range(1000))
    return Charge(SHARED, next(model for model in models if cluster.master_of(f"platform|{model}") == number))


async def _hammer(desk: Desk, tenants: list[str], stop: asyncio.Event) -> dict[str, int]:
    """Load of all tenants at once; who counted how often, and for how long the slowest waited (ms)."""
    seen = {"exact": 0, "share": 0, "none": 0, "refused": 0, "slowest": 0}

    async def client(tenant: str) -> None:
        while not stop.is_set():
            began = time.perf_counter()
            seen[await desk.take(Charge(TENANT, tenant))] += 1
            seen["slowest"] = max(seen["slowest"], round(1000 * (time.perf_counter() - began)))
            await asyncio.sleep(0.002)

    await asyncio.gather(*(client(tenant) for tenant in tenants))
    return seen


@pytest.mark.parametrize("how", ["killed", "frozen"])
async def test_a_master_that_goes_under_load_takes_its_own_slots_only(desk: Desk, how: str) -> None:
    stop = asyncio.Event()
    loads = [asyncio.create_task(_hammer(desk, tenants, stop)) for tenants in (desk.here, desk.there)]
    await asyncio.sleep(0.3)
    pid = desk.cluster.servers[0].pid
    os.kill(pid, signal.SIGKILL if how == "killed" else signal.SIGSTOP)
    try:
        await asyncio.sleep(1.0)
        assert not await desk.ledger.ready()
        stop.set()
        here, there = await asyncio.gather(*loads)
        assert there["exact"] > 100
        assert (there["share"], there["none"]) == (0, 0)
        assert here["exact"] > 10
        assert here["share"] > 10
        assert here["slowest"] < 1000
        assert desk.states[0] == "open"
        # the share of one of two replicas, of a limit that nobody had used
        assert [await desk.take(Charge(SMALL, desk.here[0])) for _ in range(6)] == ["share"] * 5 + ["refused"]
        assert [await desk.take(Charge(SMALL, desk.there[0])) for _ in range(6)] == ["exact"] * 6
    finally:
        if how == "killed":
            desk.cluster.servers[0].stop()
        else:
            os.kill(pid, signal.SIGCONT)
    if how == "killed":
        desk.cluster.servers[0].start()
    await desk.until(lambda: desk.exact(Charge(SMALL, desk.here[0])))
    await desk.until(lambda: _is(desk.left(Charge(SMALL, desk.here[0])), 5))
    assert [await desk.take(Charge(SMALL, desk.here[0])) for _ in range(6)] == ["exact"] * 5 + ["refused"]
    await desk.until(desk.ledger.ready)
    assert desk.states[-1] == "closed"


async def _is(left: Awaitable[int], expected: int) -> bool:
    return await left == expected


async def test_a_decision_over_a_live_and_a_dead_master_is_answered_by_both(desk: Desk) -> None:
    own, shared = Charge(SMALL, desk.there[0]), _shared_on(desk.cluster, 0)
    assert await desk.take(own, shared) == "exact"
    desk.cluster.servers[0].stop(kill=True)
    held = await desk.ledger.reserve([own._replace(cost=3), shared._replace(cost=3)], hold=60)
    assert (held.enforcement, held.refused) == ("share", None)
    assert [state.remaining for state in held.states] == [6, 497]
    assert await desk.ledger.settle(held.reservation, {"requests": 1})
    assert await desk.left(own) == 8  # exact
    refused = await desk.ledger.reserve([own, shared._replace(cost=501)])
    assert refused.refused is not None
    assert refused.refused.limit.name == "shared"
    assert await desk.left(own) == 8
    desk.rule = "deny"
    with pytest.raises(StoreUnavailable):
        await desk.ledger.reserve([own, shared])
    assert await desk.left(own) == 8
    desk.rule = "allow"
    assert await desk.take(own, shared) == "none"
    assert await desk.take(own._replace(cost=8), shared) == "refused"
    assert await desk.left(own) == 7


async def test_a_settlement_that_meets_a_dead_master_is_made_up_for(desk: Desk) -> None:
    own, shared = Charge(SMALL, desk.there[0], 5), _shared_on(desk.cluster, 0)._replace(cost=5)
    held = await desk.ledger.reserve([own, shared], hold=60)
    pid = desk.cluster.servers[0].pid
    os.kill(pid, signal.SIGSTOP)
    try:
        assert await desk.ledger.settle(held.reservation, {"requests": 2})
        assert await desk.left(own) == 8
    finally:
        os.kill(pid, signal.SIGCONT)
    await desk.until(lambda: desk.exact(shared))
    await desk.until(lambda: _is(desk.left(shared), 998))


@pytest.fixture
def replicated(tmp_path: Path) -> Iterator[RedisCluster]:
    with running_cluster(tmp_path, replicated=[0]) as made:
        yield made


async def test_a_replica_that_takes_over_is_found_and_is_told_what_was_used(replicated: RedisCluster) -> None:
    desk = Desk(replicated)
    await desk.open(replicas=1)
    charge = Charge(SMALL, desk.here[0])
    assert await desk.take(charge, hold=60) == "exact"
    held = await desk.ledger.reserve([charge._replace(cost=4)], hold=60)
    replicated.until(lambda: bool(replicated.clients[0].wait(1, 1000)))
    replicated.servers[0].stop(kill=True)
    assert [await desk.take(charge) for _ in range(2)] == ["share", "share"]
    assert await desk.ledger.settle(held.reservation, {"requests": 1})
    await desk.until(lambda: desk.exact(charge))
    await desk.until(lambda: _is(desk.left(charge), 10 - 1 - 1 - 2))
    await desk.until(desk.ledger.ready)
    replicated.servers[0].start()  # a replica now, which sends everybody away
    assert [await desk.take(charge) for _ in range(7)] == ["exact"] * 6 + ["refused"]
    await desk.ledger.close()


async def test_a_slot_that_takes_long_to_move_is_under_the_rule_and_no_other(desk: Desk) -> None:
    tenant, other = desk.here[:2]
    slot, charge = key_slot(tenant.encode()), Charge(SMALL, tenant)
    assert await desk.take(charge, hold=60) == "exact"
    desk.cluster.begin_move(slot, 0, 1)
    assert desk.cluster.move_keys(slot, 0, 1, which="|small|") == 1
    # A hold is a new key, which neither place may make.
    assert [await desk.take(charge, hold=60) for _ in range(2)] == ["share", "share"]
    assert await desk.take(Charge(SMALL, other), hold=60) == "exact"
    assert desk.states == []
    while desk.cluster.move_keys(slot, 0, 1):
        pass
    desk.cluster.end_move(slot, 0, 1)
    await desk.until(lambda: _is(desk.left(charge), 7))
    assert await desk.take(charge, hold=60) == "exact"


async def test_a_cluster_need_not_be_there_to_begin_with(cluster: RedisCluster) -> None:
    for server in cluster.servers:
        server.stop(kill=True)
    desk = Desk(cluster)
    await desk.open(replicas=5)
    try:
        assert "Connection refused" in desk.silence or "Connect call failed" in desk.silence
        assert not await desk.ledger.ready()
        tenant = desk.here[0]
        assert [await desk.take(Charge(SMALL, tenant)) for _ in range(3)] == ["share", "share", "refused"]
        for server in cluster.servers:
            server.start()
        await desk.until(desk.ledger.ready)
        await desk.until(lambda: _is(desk.left(Charge(SMALL, tenant)), 8))
        assert desk.states[-1] == "closed"
    finally:
        await desk.ledger.close()


async def test_replicas_count_each_other_over_the_cluster(cluster: RedisCluster) -> None:
    desks = [Desk(cluster) for _ in range(2)]
    for desk in desks:
        await desk.open(replicas=1)
    assert [desk.ledger._places._heartbeats() for desk in desks] == [1, 2]  # type: ignore[attr-defined]
    for desk in desks:
        await desk.ledger.close()
