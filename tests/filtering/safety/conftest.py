from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.filtering.safety.moderators import HandClock
from tests.filtering.safety.services import Service, running_service


@pytest.fixture
def service() -> Iterator[Service]:
    with running_service() as running:
        yield running


@pytest.fixture
def clock() -> HandClock:
    return HandClock()
