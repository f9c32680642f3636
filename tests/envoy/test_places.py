"""The place of an exchange is kept while its response runs and given back once, at its end."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from tidegate.admission.queue.terms import Capacity, Demand, Overload, Place, Ticket
from tidegate.envoy.handoff import Handoff
from tidegate.envoy.places import Places
from tidegate.errors import StoreUnavailable

from tests.admission.world import until

SHORT = Ticket("r", 1, 0.03).text("token")
LONG = Ticket("r", 1, 3600).text("token")


class Records:
    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.steps: list[tuple[str, str, str]] = []

    async def join(self, endpoint: str, capacity: Capacity, demand: Demand) -> Place | Overload:
        raise NotImplementedError

    async def renew(self, endpoint: str, ticket: str) -> None:
        self._take("renew", endpoint, ticket)

    async def leave(self, endpoint: str, ticket: str) -> None:
        self._take("leave", endpoint, ticket)

    async def close(self) -> None:
        raise NotImplementedError

    def _take(self, step: str, endpoint: str, ticket: str) -> None:
        self.steps.append((step, endpoint, ticket))
        if self.failure is not None:
            raise self.failure


class Told:
    def __init__(self) -> None:
        self.steps: list[tuple[str, bool]] = []
        self.errors: list[Exception] = []

    def places(self, queue: Records) -> Places:
        return Places(queue, record=lambda step, answered: self.steps.append((step, answered)), on_error=self.add)

    def add(self, error: Exception) -> None:
        self.errors.append(error)


def exchange(ticket: str = LONG) -> Any:
    handoff = Handoff("r", "p", "s", "t", "f", "chat", "m", (), "openai", "withhold", 1, ticket=ticket)
    return SimpleNamespace(handoff=handoff, finished=False)


async def test_a_place_is_given_back_once_when_the_exchange_is_finished() -> None:
    queue, told, running = Records(), Told(), exchange()
    places = told.places(queue)
    tenure = places.open()
    tenure.follow(running)
    assert queue.steps == []
    running.finished = True
    for _ in range(3):
        tenure.follow(running)
    await places.drained()
    assert queue.steps == [("leave", "chat", LONG)]
    assert told.steps == [("leave", True)]


async def test_a_long_response_keeps_its_place_until_it_ends_and_not_after() -> None:
    queue, running = Records(), exchange(SHORT)
    places = Told().places(queue)
    tenure = places.open()
    tenure.follow(running)
    await until(lambda: len(queue.steps) == 3)
    running.finished = True
    tenure.follow(running)
    await places.drained()
    steps = list(queue.steps)
    assert steps[-1] == ("leave", "chat", SHORT)
    assert set(steps[:-1]) == {("renew", "chat", SHORT)}
    await asyncio.sleep(0.03)  # a lease later
    assert queue.steps == steps


@pytest.mark.parametrize("running", [exchange(""), SimpleNamespace(handoff=None, finished=False)])
async def test_an_exchange_without_a_place_costs_nothing(running: Any) -> None:
    queue = Records()
    tenure = Told().places(queue).open()
    for finished in (False, True):
        running.finished = finished
        tenure.follow(running)
    await asyncio.sleep(0)
    assert queue.steps == []


@pytest.mark.parametrize("failure", [StoreUnavailable("down"), RuntimeError("boom")])
async def test_a_store_that_is_out_is_counted_and_anything_else_is_told(failure: Exception) -> None:
    queue, told, running = Records(failure), Told(), exchange()
    places = told.places(queue)
    running.finished = True
    places.open().follow(running)
    await places.drained()
    expected: object = ([("leave", False)], []) if isinstance(failure, StoreUnavailable) else ([], [failure])
    assert (told.steps, told.errors) == expected
