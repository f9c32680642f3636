"""Golden cases: each is decided on its own, and compared with what it expects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tidegate.model import Allow
from tidegate.pipeline import Identifies
from tidegate.policy.compiled import Policy
from tidegate.rehearsal.explanation import Explanation, explain
from tidegate.rehearsal.files import GoldenCase
from tidegate.rehearsal.report import limit_name
from tidegate.rehearsal.schema import Expectation


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that a decision was, instead of what was expected."""

    key: str
    expected: str
    was: str


@dataclass(frozen=True, slots=True)
class Result:
    """A case, what was decided, and in what that differs: in nothing when it passed."""

    case: GoldenCase
    explanation: Explanation
    differences: tuple[Difference, ...]


async def run(policy: Policy, cases: Iterable[GoldenCase], identifier: Identifies) -> tuple[Result, ...]:
    """Decide the cases in order. None is charged for another."""
    results = []
    for case in cases:
        explanation = await explain(policy, case.question, identifier)
        results.append(Result(case, explanation, tuple(_differences(case.expect, explanation))))
    return tuple(results)


def _differences(expected: Expectation, explanation: Explanation) -> Iterator[Difference]:
    verdict = explanation.decision.verdict
    effect = "allow" if isinstance(verdict, Allow) else "deny"
    if expected.effect != effect:
        yield Difference("effect", expected.effect, effect)
        return
    if isinstance(verdict, Allow):
        for key, name in (("endpoint", verdict.endpoint), ("model", verdict.model)):
            wanted = getattr(expected, key)
            if wanted is not None and wanted != name:
                yield Difference(key, wanted, name)
        limits = [limit_name(charge.limit) for charge in explanation.charges]
        for key, names in (("limits", limits), ("rulesets", verdict.rulesets)):
            all_ = getattr(expected, key)
            if all_ is not None and set(all_) != set(names):
                yield Difference(key, _list(all_, names), _list(names, all_))
        return
    if expected.status is not None and expected.status != verdict.status:
        yield Difference("status", str(expected.status), str(verdict.status))
    if expected.reason is not None and expected.reason != verdict.reason:
        yield Difference("reason", expected.reason, str(verdict.reason))


def _list(names: Iterable[str], others: Iterable[str]) -> str:
    """The names, with a star at those that the other side lacks."""
    known = set(others)
    return ", ".join(name if name in known else f"*{name}" for name in names) or "none"
