"""From a URL to a ledger, or to words that say why not."""

from __future__ import annotations

import pytest
from tidegate.admission.memory import MemoryLedger
from tidegate.admission.open import check_url, open_ledger
from tidegate.clock import SystemClock
from tidegate.demo.redis_server import RedisServer

from tests.admission.redis_cluster import MASTERS, RedisCluster


@pytest.mark.parametrize(
    "url",
    ["memory://", "redis://h", "redis://:secret@h:6379/0", "rediss://h:1/2", "unix:///run/r.sock?db=1",
     "redis+cluster://h", "rediss+cluster://ann:secret@h:1,[::1]:2/0?ssl_check_hostname=false"],
)  # fmt: skip
def test_urls_that_a_ledger_may_be_at(url: str) -> None:
    check_url(url)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("", "must be memory://"),
        ("memory:junk", "must be memory://"),
        ("memory://junk", "must be memory://"),
        ("localhost:6379", "must be memory://"),
        ("redis://:secret@h:port", "Port could not be cast"),
        ("redis://:secret@h?colour=red", "got an unexpected keyword argument 'colour'"),
        ("redis://:secret@h?socket_timeout=soon", "Invalid value for 'socket_timeout'"),
        ("redis+cluster://", "each node must be host:port"),
        ("redis+cluster://:secret@", "each node must be host:port"),
        ("redis+cluster://:secret@h:1,,x:2", "each node must be host:port"),
        ("redis+cluster://:secret@h:port", "each node must be host:port"),
        ("redis+cluster://:secret@h:70000", "each node must be host:port"),
        ("redis+cluster://h/1", "a cluster has one database, number 0"),
        ("redis+cluster://h/0/0", "a cluster has one database, number 0"),
        ("redis+cluster://h?db=1", "a cluster has one database, number 0"),
        ("redis+cluster://:secret@h?colour=red", "got an unexpected keyword argument 'colour'"),
        ("redis+cluster://:se/cret@h", "percent-encode"),
        ("redis+cluster://h:1,::1", "brackets"),
        ("redis+cluster://:12#secret@h:1", "percent-encode"),
        ("redis://:12#secret@h:1", "percent-encode"),
        ("rediss://:secret/1@h:1", "percent-encode"),
        ("redis://secret?1@h:1", "percent-encode"),
    ],
)
def test_urls_that_no_ledger_can_be_at(url: str, told: str) -> None:
    with pytest.raises(ValueError, match=told) as failure:
        check_url(url)
    assert "secret" not in str(failure.value)


async def test_memory_is_never_silent() -> None:
    told: list[str] = []
    ledger = await open_ledger("memory://", clock=SystemClock(), on_silence=told.append)
    assert isinstance(ledger, MemoryLedger)
    assert told == []


async def test_a_store_that_does_not_answer_at_the_start_is_told(redis_server: RedisServer) -> None:
    told: list[str] = []
    redis_server.stop()
    ledger = await open_ledger(redis_server.url, clock=SystemClock(), on_silence=told.append)
    await ledger.close()
    assert len(told) == 1
    assert str(redis_server.url.rpartition(":")[2]) in told[0]


async def test_a_redis_that_is_no_cluster_and_the_other_way_round_are_told(
    redis_url: str, shared_cluster: RedisCluster
) -> None:
    told: list[str] = []
    other = (shared_cluster.master_of("tg|replicas") + 1) % MASTERS
    for url in (redis_url.replace("://", "+cluster://"), f"redis://127.0.0.1:{shared_cluster.ports[other]}"):
        ledger = await open_ledger(url, clock=SystemClock(), timeout=5.0, on_silence=told.append)
        await ledger.close()
    assert ["cluster support disabled" in told[0], "is a cluster" in told[1]] == [True, True]


async def test_open_ledger_in_memory() -> None:
    ledger = await open_ledger("memory://", clock=SystemClock())
    assert isinstance(ledger, MemoryLedger)
    with pytest.raises(ValueError):
        await open_ledger("ftp://x", clock=SystemClock())
