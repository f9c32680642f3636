"""What end-to-end tests share: a model and a gate for each test process. Tests that break things start their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.stack import Gate, running_gate
from tests.e2e.upstream import Upstream


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker("e2e")


@pytest.fixture(scope="session")
def upstream() -> Iterator[Upstream]:
    server = Upstream()
    yield server
    server.close()


@pytest.fixture(scope="session")
def gate(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Gate]:
    """One worker, the usual policy. Do not stop anything in it."""
    with running_gate(tmp_path_factory.mktemp("gate"), upstream, max_request_bytes=6 << 20) as running:
        yield running


@pytest.fixture(scope="session")
def noop_gate(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Gate]:
    """A policy service that decides nothing."""
    with running_gate(tmp_path_factory.mktemp("noop"), upstream, noop=True) as running:
        yield running
