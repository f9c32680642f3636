from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from tidegate.demo.redis_server import running_redis
from tidegate.identity import BearerVerifier, Introspector, KeySets, RedisKeys, bearer
from tidegate.identity.revocation_store import RedisRevocations
from tidegate.policy.compiled_identity import ClaimMap, Introspection

from tests.admission.redis_cluster import running_cluster
from tests.identity import forge
from tests.identity.forge import FakeClock
from tests.identity.key_server import KeyServer
from tests.identity.opaque_tokens import ACTIVE, SECRET, answer
from tests.identity.signatures import Signatures
from tests.identity.stored_keys import Flaky


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def key_sets(clock: FakeClock) -> AsyncIterator[KeySets]:
    made = KeySets(clock=clock, timeout=1.0)
    yield made
    await made.close()


@pytest.fixture
def verifier(clock: FakeClock, key_sets: KeySets) -> BearerVerifier:
    return BearerVerifier(clock=clock, key_sets=key_sets)


@pytest.fixture
def signatures(monkeypatch: pytest.MonkeyPatch) -> Signatures:
    """Those that the verifier checks."""
    made = Signatures()
    monkeypatch.setattr(bearer, "check_signature", made.check)
    return made


@pytest.fixture
async def server() -> AsyncIterator[KeyServer]:
    """A provider that publishes the key `rsa`."""
    made = KeyServer()
    await made.start()
    made.keys = [forge.jwk_of("rsa", "rsa")]
    yield made
    await made.stop()


@pytest.fixture
async def introspector(clock: FakeClock) -> AsyncIterator[Introspector]:
    made = Introspector(clock=clock, timeout=5.0)
    yield made
    await made.close()


@pytest.fixture
def endpoint(server: KeyServer) -> Introspection:
    """A provider that calls every token active."""
    answer(server, **ACTIVE)
    return Introspection(
        "opaque",
        server.url,
        "tidegate:1",
        SECRET,
        issuer="https://id.example.com",
        audiences=("models",),
        cache=10.0,
        claims=ClaimMap(tenant=("org",), default_tier="free"),
    )


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_redis(directory=tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture(scope="session")
def cluster_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster.url


@pytest.fixture(params=["redis", "cluster"])
def url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def prefix() -> str:
    return f"tgr-{secrets.token_hex(4)}"


@pytest.fixture
async def listed(url: str, prefix: str) -> AsyncIterator[RedisRevocations]:
    made = RedisRevocations(url, prefix=prefix)
    yield made
    await made.close()


@pytest.fixture(params=["redis", "cluster"])
async def keys(request: pytest.FixtureRequest) -> AsyncIterator[RedisKeys]:
    url = request.getfixturevalue(f"{request.param}_url")
    made = RedisKeys(url, prefix=f"tgk-{secrets.token_hex(4)}")
    yield made
    await made.close()


@pytest.fixture
def redis(keys: RedisKeys) -> Any:
    """The store as somebody else might write to it."""
    return keys._redis


@pytest.fixture
def flaky(keys: RedisKeys) -> Flaky:
    return Flaky(keys)
