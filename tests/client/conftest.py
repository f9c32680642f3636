from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tidegate_client import AsyncTidegate, LocalPolicy, LocalPolicySync, Tidegate

from tests.client.world import PEPPER, Awaited, World, background, held, make_servicer, make_world, serving


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(Path(tmp_path_factory.mktemp("world")))


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
