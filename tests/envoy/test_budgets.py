"""Many exchanges at one limit, their steps in any order: what leaves was held, and what was not written comes back."""

from __future__ import annotations

import asyncio
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tidegate.admission.memory import MemoryLedger
from tidegate.envoy.commands import Command, Extend
from tidegate.envoy.exchange import Exchange
from tidegate.filtering.ruleset import FilterPlan
from tidegate.model import Algorithm, Charge, Hold, Limit

from tests.admission.world import COUNTING, HandClock, limit
from tests.envoy.budget import DONE, texts
from tests.envoy.priced import HELD, SSE
from tests.envoy.world import NOTHING, REDACT, body_of, content_of, exchange, head

PROMPT = 5


class Shared:
    """A limit on tokens, and the exchanges that were admitted against it."""

    def __init__(self, on: Limit, plan: FilterPlan) -> None:
        self.limit = on
        self.ledger = MemoryLedger(HandClock())
        self.running: list[Running] = []
        self._plan = plan

    async def admit(self, completion: int, events: int, ending: str) -> None:
        costs = {"tokens": PROMPT + completion}
        admission = await self.ledger.reserve([Charge(self.limit, "k", costs["tokens"])], hold=600.0)
        if admission.refused is None:
            hold = Hold(600.0, tuple(costs.items()), ("tpm",))
            handoff = HELD._replace(reservation=admission.reservation, prompt_tokens=PROMPT, hold=hold)
            subject = exchange(self._plan)
            subject.head(head(handoff=handoff, **SSE))
            self.running.append(Running(self.ledger, subject, events, ending))

    async def used(self) -> int:
        (state,) = (await self.ledger.reserve([Charge(self.limit, "k", 0)])).states
        return self.limit.capacity - state.remaining


class Running:
    def __init__(self, ledger: MemoryLedger, subject: Exchange, events: int, ending: str) -> None:
        self.subject = subject
        self.written = 0
        self.settled: int | None = None
        self._ledger = ledger
        self._parts = [*texts(events), *([DONE] if ending == "done" else [])]
        self._ending = ending
        self._out = b""
        self._demand: Extend | None = None

    async def step(self) -> None:
        """The next thing that happens to it: an answer of the ledger, an event of the model, its end."""
        if self._demand is not None:
            demand, self._demand = self._demand, None
            answer = await self._ledger.extend(demand.reservation, demand.costs, hold=demand.hold)
            self._sent(self.subject.extended(answer))
        elif self._parts:
            self._sent(self.subject.body(self._parts.pop(0), end=False))
        elif self._ending == "leaves":
            self.subject.lost()
        else:
            self._sent(self.subject.body(b"", end=True))
        settlement = self.subject.settlement()
        if settlement is not None:
            assert self.settled is None
            self.settled = settlement.costs["tokens"]
            assert await self._ledger.settle(settlement.reservation, settlement.costs)

    def _sent(self, commands: list[Command]) -> None:
        last = commands[-1] if commands else None
        self._demand = last if isinstance(last, Extend) else None
        self._out += body_of(commands)
        self.written = len(content_of(self._out)) // 4


@pytest.mark.parametrize("plan", [REDACT, NOTHING])
@pytest.mark.parametrize("algorithm", COUNTING)
@settings(deadline=None, max_examples=40)
@given(
    capacity=st.integers(50, 900),
    wanted=st.lists(
        st.tuples(st.integers(1, 120), st.integers(0, 30), st.sampled_from(["done", "leaves"])),
        min_size=1,
        max_size=12,
    ),
    order=st.randoms(use_true_random=False),
)
def test_no_text_leaves_that_was_not_held_and_all_that_was_not_written_comes_back(
    plan: FilterPlan, algorithm: Algorithm, capacity: int, wanted: list[tuple[int, int, str]], order: Random
) -> None:
    async def run() -> None:
        shared = Shared(limit(algorithm, capacity, period=3600.0, name="tpm", cost="tokens"), plan)
        for each in wanted:
            await shared.admit(*each)
        left = list(shared.running)
        while left:
            one = order.choice(left)
            await one.step()
            assert sum(each.written + PROMPT for each in shared.running) <= capacity
            if one.settled is not None:
                left.remove(one)
        assert all(each.settled is not None and each.settled <= each.written + PROMPT + 10 for each in shared.running)
        assert await shared.used() == min(capacity, sum(each.settled or 0 for each in shared.running))

    asyncio.run(run())
