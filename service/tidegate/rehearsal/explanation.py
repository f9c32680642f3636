"""Why a request is decided as it is: the pipeline decides it, with limits that nobody used, and its path is told.

Nothing here decides. The verdict is the pipeline's; which rules held, and which one refused, is what `authorize` says;
`facts` says of each what there is to know of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tidegate.admission.memory import MemoryLedger
from tidegate.authorization import Rule
from tidegate.clock import Clock, SystemClock
from tidegate.model import Admission, Charge, Decision, Deny, Identity, Request
from tidegate.pipeline import Identifies, Pipeline
from tidegate.policy.compiled import Policy
from tidegate.rehearsal.facts import Facts
from tidegate.rehearsal.files import Question

Outcome = Literal["holds", "refuses"]


@dataclass(frozen=True, slots=True)
class Step:
    """One rule on the path of a decision: whether it held, what there is to know, and the parts that it looked at."""

    rule: str
    outcome: Outcome
    says: str
    parts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision and its path. `charges` are what it would be charged, also where that alone is too much.

    `rulesets` are those of the response, each with whence it comes; `capacity` says what the endpoint's queue would
    know of the request, "" where it has none.
    """

    decision: Decision
    steps: tuple[Step, ...]
    charges: tuple[Charge, ...]
    rulesets: tuple[tuple[str, tuple[str, ...]], ...]
    capacity: str


async def explain(
    policy: Policy, question: Question, identifier: Identifies, *, clock: Clock | None = None
) -> Explanation:
    """Decide a question and say why. `identifier` establishes who calls, where the question does not say it."""
    request = question.request
    if isinstance(request, Deny):
        nothing = Request("rehearsal", "", "", "")
        step = Step("request", "refuses", "it is refused before anything reads it", (request.detail,))
        return Explanation(Decision(nothing, request, policy.version), (step,), (), (), "")
    ledger = _Recorder(MemoryLedger(clock or SystemClock()))
    asked = identifier if question.principal is None else _Given(question.principal)
    failures: list[Exception] = []
    pipeline = Pipeline(policy=lambda: policy, identifier=asked, ledger=ledger, on_error=failures.append)
    decision = await pipeline.decide(request)
    if failures:
        raise failures[0]
    facts = Facts(policy, request, decision)
    steps = tuple(_steps(decision, facts))
    allowed = not isinstance(decision.verdict, Deny)
    return Explanation(
        decision, steps, ledger.charges, facts.rulesets() if allowed else (), facts.capacity() if allowed else ""
    )


def _steps(decision: Decision, facts: Facts) -> Iterator[Step]:
    verdict = decision.verdict
    refused = isinstance(verdict, Deny)
    yield Step("identity", "refuses" if refused and decision.identity is None else "holds", *facts.identity())
    if decision.identity is None:
        return
    for rule in Rule:
        refuses = isinstance(verdict, Deny) and verdict.rule == rule
        yield Step(str(rule), "refuses" if refuses else "holds", *facts.of(rule))
        if refuses:
            return
    why = verdict.rule if isinstance(verdict, Deny) else ""
    if why == "request":
        yield Step(why, "refuses", *facts.body())
        return
    yield Step("limits", "refuses" if refused and why != "prompt" else "holds", *facts.limits())
    if decision.inspection is not None:
        yield Step("prompt", "refuses" if why == "prompt" else "holds", *facts.prompts())


class _Given:
    """An identifier that knows who calls."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    async def identify(self, policy: Policy, request: Request) -> Identity | Deny:
        return self._identity


class _Recorder:
    """A ledger that keeps what it was asked to charge."""

    def __init__(self, ledger: MemoryLedger) -> None:
        self._ledger = ledger
        self.charges: tuple[Charge, ...] = ()

    async def reserve(self, charges: Sequence[Charge], *, hold: float | None = None) -> Admission:
        self.charges = tuple(charges)
        return await self._ledger.reserve(charges, hold=hold)

    async def settle(self, reservation: str, costs: Mapping[str, int]) -> bool:
        return await self._ledger.settle(reservation, costs)
