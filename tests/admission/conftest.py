from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tidegate.demo.redis_server import RedisServer, running_redis

from tests.admission.world import Book
from tests.admission.world import book as new_book


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_redis(directory=tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.stop(kill=True)


@pytest.fixture(params=["reference", "memory", "redis"])
async def book(request: pytest.FixtureRequest, redis_url: str) -> AsyncIterator[Book]:
    made = new_book(request.param, redis_url)
    yield made
    await made.ledger.close()
