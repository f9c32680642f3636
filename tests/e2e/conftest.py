"""What end-to-end tests share: a model and a gate for each test process. Tests that break things start their own."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tidegate.demo.redis_server import running_redis

from tests.admission.redis_cluster import running_cluster
from tests.e2e import priced as tokens
from tests.e2e.stack import Gate, running_gate
from tests.e2e.upstream import Upstream


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker("e2e")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure shows what Envoy and the workers had to say."""
    report = yield
    if report.failed:
        for value in getattr(item, "funcargs", {}).values():
            if isinstance(value, Gate):
                for process in (value.envoy, *value.workers):
                    report.sections.append((str(process.log), process.tail(1500)))
    return report


@pytest.fixture(scope="session")
def upstream() -> Iterator[Upstream]:
    server = Upstream()
    yield server
    server.close()


@pytest.fixture(scope="module", params=["memory", "redis"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, object]]:
    """Flags of the service for each place where it may count."""
    if request.param == "memory":
        yield {}
        return
    directory = tmp_path_factory.mktemp("store")
    with ExitStack() as stack:
        if request.param == "cluster":
            url = stack.enter_context(running_cluster(directory)).url
        else:
            url = stack.enter_context(running_redis(directory=directory))
        yield {"store": url, "store-timeout": 1.0}  # a busy machine is no outage


@pytest.fixture(scope="module")
def counting(store: dict[str, object]) -> dict[str, Any]:
    """How a gate counts and is asked: in memory and in two calls, in Redis and in one."""
    return {"flags": store, "one_call": "store" in store}


@pytest.fixture(scope="session", params=[False, True], ids=["two-calls", "one-call"])
def asking(request: pytest.FixtureRequest) -> dict[str, bool]:
    """How Envoy asks: Check and Process, or Process alone. Whatever is promised holds either way."""
    return {"one_call": request.param}


@pytest.fixture(scope="session")
def gate(asking: dict[str, bool], tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Gate]:
    """One worker, the usual policy. Do not stop anything in it."""
    with running_gate(tmp_path_factory.mktemp("gate"), upstream, max_request_bytes=6 << 20, **asking) as running:
        yield running


@pytest.fixture(scope="session")
def noop_gate(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Gate]:
    """A policy service that decides nothing."""
    with running_gate(tmp_path_factory.mktemp("noop"), upstream, stand_in="tests.e2e.noop_policy") as running:
        yield running


_models = itertools.count()


@pytest.fixture(scope="module")
def priced(counting: dict[str, Any], tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Gate]:
    """One worker whose limits count tokens. Do not stop anything in it."""
    with running_gate(tmp_path_factory.mktemp("tokens"), upstream, policy=tokens.POLICY, **counting) as running:
        yield running


@pytest.fixture
def model() -> str:
    """A model that no other test asks for, where limits are kept per model."""
    return f"model-{next(_models)}"
