"""What only a cluster has: slots, redirections, slots that move, and masters that go while others stay."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import get_args

import pytest
from redis.crc import key_slot
from tidegate.admission.cluster import ClusterRunner
from tidegate.admission.scripts import SlotMoving
from tidegate.admission.slots import ClusterUrl
from tidegate.admission.spanning import SpanningLedger
from tidegate.errors import StoreUnavailable
from tidegate.model import Algorithm, Charge

from tests.admission.redis_cluster import MASTERS, RedisCluster
from tests.admission.world import OneStore, cluster_ledger, limit

DAY = 86_400.0
TENANT = limit("token_bucket", 100, period=DAY, name="tenant", per=("tenant",))
WINDOW = limit("sliding_window", 100, period=DAY, name="window", per=("tenant", "model"))
SHARED = limit("sliding_window_counter", 100, period=DAY, name="shared", scope="platform")
QUOTA = limit("quota", 100, resets="month", name="quota", scope="endpoint:chat")


def _own(tenant: str) -> list[Charge]:
    """Charges that one tenant alone pays: one slot."""
    return [Charge(TENANT, tenant), Charge(WINDOW, f"{tenant}|small")]


def _all(tenant: str) -> list[Charge]:
    """Three slots."""
    return [*_own(tenant), Charge(SHARED, ""), Charge(QUOTA, "")]


Opens = Callable[..., SpanningLedger]


@pytest.fixture
async def opened() -> AsyncIterator[Opens]:
    """Makes ledgers over a cluster, and closes them."""
    made: list[SpanningLedger] = []

    def new(url: str, prefix: str = "tg", timeout: float = 5.0) -> SpanningLedger:
        made.append(cluster_ledger(url, prefix, timeout))
        return made[-1]

    yield new
    for ledger in made:
        await ledger.close()


@pytest.fixture
def ledger(cluster_url: str, opened: Opens) -> SpanningLedger:
    return opened(cluster_url, secrets.token_hex(6))


async def _left(ledger: SpanningLedger, charges: Sequence[Charge]) -> list[int]:
    looks = [charge._replace(cost=0) for charge in charges]
    return [state.remaining for state in (await ledger.reserve(looks)).states]


def _runner(ledger: SpanningLedger) -> ClusterRunner:
    assert isinstance(ledger._places, OneStore)
    runner = ledger._places.store._runner
    assert isinstance(runner, ClusterRunner)
    return runner


def _evaluations(cluster: RedisCluster) -> list[int]:
    return [
        sum(client.info("commandstats").get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("eval", "evalsha"))
        for client in cluster.clients
    ]


async def test_what_one_tenant_pays_is_one_call_in_one_slot(
    shared_cluster: RedisCluster, ledger: SpanningLedger
) -> None:
    own = [*_own("acme"), Charge(limit("quota", 100, name="month", scope="tenant:acme"), "")]
    await ledger.reserve(own)
    before = _evaluations(shared_cluster)
    await asyncio.gather(*(ledger.reserve(own, hold=60) for _ in range(50)))
    more = [after - was for after, was in zip(_evaluations(shared_cluster), before, strict=True)]
    assert sorted(more) == [0, 0, 1]


async def test_each_slot_of_a_turn_is_one_call_and_each_master_one_write(
    shared_cluster: RedisCluster, ledger: SpanningLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = _runner(ledger)
    tenants = [tag for number in range(MASTERS) for tag in shared_cluster.tags_of(number, 10)]
    await asyncio.gather(*(ledger.reserve(_own(tenant)) for tenant in tenants))
    writes = []
    for node in runner._nodes.values():
        connection = node._connection._connection
        assert connection is not None
        send = connection.send_packed_command
        monkeypatch.setattr(
            connection, "send_packed_command", lambda *a, send=send, **k: writes.append(1) or send(*a, **k)
        )
    before = sum(_evaluations(shared_cluster))
    admissions = await asyncio.gather(*(ledger.reserve(_own(tenant)) for tenant in tenants * 3))
    assert sum(_evaluations(shared_cluster)) - before == len(tenants)
    assert len(writes) == MASTERS
    assert all(admission.refused is None for admission in admissions)


async def test_all_or_none_over_slots_and_the_refusing_limit_is_named(ledger: SpanningLedger) -> None:
    tight = limit("token_bucket", 1, period=DAY, name="tight", scope="endpoint:chat")
    charges = [*_all("acme"), Charge(tight, "", 1)]
    admission = await ledger.reserve(charges)
    assert admission.refused is None
    assert [state.limit for state in admission.states] == [charge.limit for charge in charges]
    assert [state.remaining for state in admission.states] == [99, 99, 99, 99, 0]
    admission = await ledger.reserve(charges, hold=60)
    assert admission.refused is not None
    assert admission.refused.limit is tight
    assert [state.limit for state in admission.states] == [charge.limit for charge in charges]
    assert [state.remaining for state in admission.states] == [99, 99, 99, 99, 0]
    assert [state.retry_after > 0 for state in admission.states] == [False, False, False, False, True]
    assert admission.reservation == ""
    assert await _left(ledger, charges) == [99, 99, 99, 99, 0]


async def test_a_reservation_over_slots_is_settled_in_all_of_them_once(ledger: SpanningLedger) -> None:
    held = await ledger.reserve([charge._replace(cost=10) for charge in _all("acme")], hold=60)
    assert await ledger.settle(held.reservation, {"requests": 4})
    assert not await ledger.settle(held.reservation, {"requests": 0})
    assert await _left(ledger, _all("acme")) == [96, 96, 96, 96]
    for unknown in ("", "r", "r{acme}", "r{acme} r{platform|}", "r{", "m{x}", " "):
        assert not await ledger.settle(unknown, {"requests": 0})


@pytest.mark.parametrize("charges", [_own, _all])
async def test_a_race_of_two_ledgers_admits_exactly_the_limit(cluster_url: str, charges: object, opened: Opens) -> None:
    prefix = secrets.token_hex(6)
    ledgers = [opened(cluster_url, prefix) for _ in range(2)]
    assert callable(charges)

    async def race(ledger: SpanningLedger) -> int:
        return sum([(await ledger.reserve(charges("acme"))).refused is None for _ in range(3)])

    counts = await asyncio.gather(*(race(ledger) for ledger in ledgers * 50))
    assert sum(counts) == 100
    assert set(await _left(ledgers[0], charges("acme"))) == {0}


async def test_what_the_last_slot_refuses_is_given_back_by_all_others(cluster_url: str, opened: Opens) -> None:
    prefix = secrets.token_hex(6)
    ledgers = [opened(cluster_url, prefix) for _ in range(2)]
    last = limit("token_bucket", 30, period=DAY, name="last", scope="platform", per=("model",))
    charges = [*_all("acme"), Charge(last, "small")]

    async def race(ledger: SpanningLedger) -> int:
        return sum([(await ledger.reserve(charges)).refused is None for _ in range(2)])

    # 100 at once fit into the first slots, so that nobody is refused for what is on its way back before 30 are in
    counts = await asyncio.gather(*(race(ledger) for ledger in ledgers * 25))
    assert sum(counts) == 30
    assert await _left(ledgers[0], charges) == [70, 70, 70, 70, 0]


async def test_forgotten_scripts_are_not_noticed(shared_cluster: RedisCluster, ledger: SpanningLedger) -> None:
    for taken in range(1, 4):
        for client in shared_cluster.clients:
            client.script_flush()
        held = await ledger.reserve(_all("acme"), hold=60)
        assert held.refused is None
        for client in shared_cluster.clients:
            client.script_flush()
        assert await ledger.settle(held.reservation, {"requests": 1})
        assert await _left(ledger, _all("acme")) == [100 - taken] * 4


async def test_a_slot_that_has_moved_is_followed(cluster: RedisCluster, opened: Opens) -> None:
    ledger = opened(cluster.url)
    runner = _runner(ledger)
    slot = key_slot(b"acme")
    source = cluster.master_of("acme")
    for moves, target in enumerate([(source + 1) % MASTERS, (source + 2) % MASTERS, source], start=1):
        assert (await ledger.reserve(_own("acme"), hold=60)).refused is None
        before = sum(_evaluations(cluster))
        assert cluster.move(slot, (target - 1) % MASTERS, target) == 2 + moves
        assert await _left(ledger, _own("acme")) == [100 - moves] * 2
        assert runner.slots.owner(slot) == f"127.0.0.1:{cluster.ports[target]}"
        assert sum(_evaluations(cluster)) - before <= 2  # refused with MOVED, and followed


async def test_slots_that_move_under_load_count_exactly(cluster: RedisCluster, opened: Opens) -> None:
    ledgers = [opened(cluster.url) for _ in range(2)]
    tenants = cluster.tags_of(0, 12)
    capacity = 5000
    taken = dict.fromkeys(tenants, 0)
    stop = asyncio.Event()

    def charges(tenant: str, cost: int) -> list[Charge]:
        return [
            Charge(limit("token_bucket", capacity, period=DAY, name="bucket", per=("tenant",)), tenant, cost),
            Charge(limit("sliding_window", capacity, period=DAY, name="window", per=("tenant",)), tenant, cost),
            Charge(
                limit("sliding_window_counter", capacity, period=DAY, name="counter", per=("tenant",)), tenant, cost
            ),
            Charge(limit("quota", capacity, resets="month", scope=f"tenant:{tenant}"), "", cost),
        ]

    async def client(number: int, tenant: str) -> None:
        ledger = ledgers[number % 2]
        while not stop.is_set():
            held = await ledger.reserve(charges(tenant, 3), hold=600 if number else None)
            assert held.refused is None
            if number > 1:
                assert await ledger.settle(held.reservation, {"requests": 1})
            taken[tenant] += 1 if number > 1 else 3

    def move() -> int:
        return sum(cluster.move(key_slot(tenant.encode()), 0, 1 + i % 2) for i, tenant in enumerate(tenants))

    clients = [asyncio.create_task(client(number, tenant)) for number in range(3) for tenant in tenants]
    await asyncio.sleep(0.2)
    moved = await asyncio.to_thread(move)
    await asyncio.sleep(0.2)
    stop.set()
    await asyncio.gather(*clients)
    assert moved > 4 * len(tenants)
    for tenant in tenants:
        assert taken[tenant] > 3
        assert set(await _left(ledgers[1], charges(tenant, 0))) == {capacity - taken[tenant]}
        more = await asyncio.gather(*(ledgers[i % 2].reserve(charges(tenant, 500)) for i in range(12)))
        assert sum(answer.refused is None for answer in more) == (capacity - taken[tenant]) // 500


@pytest.mark.parametrize("moved", ["|hold|", "|window|", "|tenant|"])
async def test_a_slot_in_two_places_holds_up_its_own_tenants_only(
    moved: str, cluster: RedisCluster, opened: Opens
) -> None:
    patient, hasty = opened(cluster.url), opened(cluster.url, timeout=1.0)
    slot, source = key_slot(b"acme"), cluster.master_of("acme")
    target = (source + 1) % MASTERS
    other = next(tag for tag in cluster.tags_of(source, 5) if tag != "acme")
    held = await patient.reserve(_own("acme"), hold=600)
    await hasty.reserve(_own(other))
    cluster.begin_move(slot, source, target)
    assert cluster.move_keys(slot, source, target, which=moved) == 1
    began = time.perf_counter()
    for call in (hasty.reserve(_own("acme"), hold=60), hasty.settle(held.reservation, {"requests": 5})):
        with pytest.raises(SlotMoving):
            await call
    assert time.perf_counter() - began < 6.0
    assert (await hasty.reserve(_own(other))).refused is None
    waiting = [
        asyncio.create_task(patient.reserve(_own("acme"), hold=60)),
        asyncio.create_task(patient.settle(held.reservation, {"requests": 5})),
    ]
    await asyncio.sleep(0.05)
    assert not any(task.done() for task in waiting)
    while cluster.move_keys(slot, source, target):
        pass
    cluster.end_move(slot, source, target)
    _, settled = await asyncio.gather(*waiting)
    assert settled is True
    assert await _left(hasty, _own("acme")) == [94, 94]


async def test_a_slot_that_nobody_serves_fails_at_once_and_alone(cluster: RedisCluster, opened: Opens) -> None:
    ledger = opened(cluster.url)
    source = cluster.master_of("acme")
    other = next(tag for tag in cluster.tags_of(source, 5) if tag != "acme")
    await ledger.reserve(_own(other))
    for number in range(MASTERS):
        cluster.cluster(number, "DELSLOTS", key_slot(b"acme"))
    began = time.perf_counter()
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await ledger.reserve(_own("acme"))
    assert time.perf_counter() - began < 1.0
    assert (await ledger.reserve(_own(other))).refused is None
    cluster.cluster(source, "ADDSLOTS", key_slot(b"acme"))
    assert (await ledger.reserve(_own("acme"))).refused is None


async def test_a_user_with_the_rights_that_are_written_down_is_enough(
    shared_cluster: RedisCluster, opened: Opens
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "cluster.md").read_text()
    rights = re.search(r"`(~tg[^`]*)`", page)
    assert rights is not None
    for client in shared_cluster.clients:
        client.execute_command("ACL SETUSER", "gate", "reset", "on", ">secret", *rights[1].split())
    try:
        ledger = opened(shared_cluster.url.replace("://", "://gate:secret@"))
        every = [Charge(limit(kind, 9, name=kind, per=("tenant",)), "acl") for kind in get_args(Algorithm)]
        for _ in range(2):
            for client in shared_cluster.clients:
                client.script_flush()
            held = await ledger.reserve([*every, Charge(SHARED, "")], hold=60)
            assert held.refused is None
            assert await ledger.extend(held.reservation, {"requests": 1}, hold=60) == "extended"
            assert await ledger.settle(held.reservation, {"requests": 0})
        assert await ledger._places.at("acl").beat("one", 5.0) == 1  # type: ignore[attr-defined]
        assert await ledger.ready()
        wrong = opened(shared_cluster.url.replace("://", "://gate:wrong@"))
        with pytest.raises(StoreUnavailable) as failure:
            await wrong.reserve(every, hold=60)
        assert "wrong" not in str(failure.value)
    finally:
        for client in shared_cluster.clients:
            client.execute_command("ACL DELUSER", "gate")


@pytest.mark.parametrize(
    ("url", "seeds", "node"),
    [
        ("redis+cluster://h", ("h:6379",), "redis://h:6379"),
        ("redis+cluster://a:1,b:2", ("a:1", "b:2"), "redis://a:1"),
        ("rediss+cluster://u:p@a:1,[::1]:2/0?ssl_cert_reqs=none", ("a:1", "[::1]:2"),
         "rediss://u:p@a:1?ssl_cert_reqs=none"),
        ("redis+cluster://:p@[2001:db8::1]", ("[2001:db8::1]:6379",), "redis://:p@[2001:db8::1]:6379"),
    ],
)  # fmt: skip
def test_the_url_of_a_cluster(url: str, seeds: tuple[str, ...], node: str) -> None:
    read = ClusterUrl(url)
    assert read.seeds == seeds
    assert read.node(seeds[0]) == node
