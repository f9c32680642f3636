"""From a URL to a ledger, or to words that say why not."""

from __future__ import annotations

import pytest
from tidegate.admission.memory import MemoryLedger
from tidegate.admission.open import check_url, open_ledger
from tidegate.clock import SystemClock
from tidegate.demo.redis_server import RedisServer


@pytest.mark.parametrize(
    "url", ["memory://", "redis://h", "redis://:secret@h:6379/0", "rediss://h:1/2", "unix:///run/r.sock?db=1"]
)
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
    ],
)
def test_urls_that_no_ledger_can_be_at(url: str, told: str) -> None:
    with pytest.raises(ValueError, match=told) as failure:
        check_url(url)
    assert "secret" not in str(failure.value)


async def test_memory_is_never_silent() -> None:
    told: list[str] = []
    ledger = await open_ledger("memory://", clock=SystemClock(), on_silence=lambda: told.append("silent"))
    assert isinstance(ledger, MemoryLedger)
    assert told == []


async def test_a_store_that_does_not_answer_at_the_start_is_told(redis_server: RedisServer) -> None:
    told: list[str] = []
    redis_server.stop()
    ledger = await open_ledger(redis_server.url, clock=SystemClock(), on_silence=lambda: told.append("silent"))
    await ledger.close()
    assert told == ["silent"]
