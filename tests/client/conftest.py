from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tidegate_client import AsyncTidegate, LocalPolicy, LocalPolicySync, Tidegate
from tidegate_client.background import Background

from tests.client.scripted import Client
from tests.client.world import PEPPER, Awaited, World, background, held, make_servicer, make_world, serving


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(Path(tmp_path_factory.mktemp("world")))


@pytest.fixture
def loop() -> Iterator[Background]:
    with background() as loop:
        yield loop


@pytest.fixture(params=["async", "sync"])
def client(request: pytest.FixtureRequest, loop: Background) -> Iterator[Client]:
    """Opens clients of one kind, and closes them."""
    with ExitStack() as stack:

        def open_client(target: str, **options: Any) -> Any:
            if request.param == "sync":
                return stack.enter_context(Tidegate(target, **options))
            return Awaited(loop, stack.enter_context(held(loop, AsyncTidegate(target, **options))))

        yield open_client


@pytest.fixture(params=["network async", "network sync", "local async", "local sync"])
def engine(request: pytest.FixtureRequest, world: World) -> Iterator[Any]:
    """Every engine behind one face, each with limits nobody has used yet."""
    if request.param == "local sync":
        with LocalPolicySync(world.path, key_pepper=PEPPER) as local:
            yield local
        return
    with background() as loop:
        if request.param == "local async":
            with held(loop, LocalPolicy(world.path, key_pepper=PEPPER)) as local:
                yield Awaited(loop, local)
            return
        with held(loop, serving(make_servicer(world).handlers())) as target:
            if request.param == "network sync":
                with Tidegate(target, timeout=5.0) as client:
                    yield client
            else:
                with held(loop, AsyncTidegate(target, timeout=5.0)) as client:
                    yield Awaited(loop, client)
