from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis.asyncio
from tidegate.admission.redis import RedisLedger
from tidegate.demo.redis_server import RedisServer, running_redis

from tests.admission.redis_cluster import RedisCluster, running_cluster
from tests.admission.switchboard import Desk
from tests.admission.world import Book
from tests.admission.world import book as new_book


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_redis(directory=tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as server:
        yield server


@pytest.fixture(scope="session")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    with running_cluster(tmp_path_factory.mktemp("cluster")) as made:
        yield made


@pytest.fixture(scope="session")
def cluster_url(shared_cluster: RedisCluster) -> str:
    return shared_cluster.url


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RedisCluster]:
    with running_cluster(tmp_path) as made:
        yield made


@pytest.fixture(params=["reference", "memory", "redis", "cluster"])
async def book(request: pytest.FixtureRequest) -> AsyncIterator[Book]:
    stores = {"redis": "redis_url", "cluster": "cluster_url"}
    url = request.getfixturevalue(stores[request.param]) if request.param in stores else ""
    made = new_book(request.param, url)
    yield made
    await made.ledger.close()


@pytest.fixture
async def ledger(redis_url: str) -> AsyncIterator[RedisLedger]:
    made = RedisLedger(redis_url, prefix=secrets.token_hex(6), timeout=5.0)
    yield made
    await made.close()


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[redis.asyncio.Redis]:
    async with redis.asyncio.Redis.from_url(redis_url) as made:
        yield made


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    made = Desk()
    yield made
    await made.ledger.close()
