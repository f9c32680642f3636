"""A request file or a case file, YAML or JSON, to what it says, or to every problem that it has."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from tidegate.edge import canonical
from tidegate.errors import PolicyError, Problem
from tidegate.model import BodyState, Deny, Identity, Request
from tidegate.policy.document import dotted, read
from tidegate.policy.load import read_text
from tidegate.policy.strict import Strict
from tidegate.policy.validate import MAX_PROBLEMS, Report, suggestion, validate_as
from tidegate.rehearsal.schema import CaseFile, Expectation, HttpRequest, Principal, RequestFile

S = TypeVar("S", bound=Strict)
GIVEN: Final = "given"
"""The `Identity.method` of a caller that a file names, instead of its credential."""


@dataclass(frozen=True, slots=True)
class Question:
    """A request, or the refusal of one that cannot be made canonical, and who makes it: None to be identified."""

    request: Request | Deny
    principal: Identity | None


@dataclass(frozen=True, slots=True)
class GoldenCase:
    """One case, where it stands, and what it expects."""

    name: str
    file: str
    line: int
    question: Question
    expect: Expectation


def read_request(path: Path, *, trusted_hops: int = 0) -> Question:
    """The question that a request file asks. Raises `PolicyError` with every problem of the file."""
    report, found = _read(path, RequestFile)
    _raise(report)
    assert found is not None  # noqa: S101 - a file without problems says something
    return _question(found.request, found.principal, trusted_hops)


def read_cases(path: Path, *, trusted_hops: int = 0) -> tuple[GoldenCase, ...]:
    """The cases of a file, in order. Raises `PolicyError` with every problem of the file."""
    report, found = _read(path, CaseFile)
    if found is not None:
        _check(found, report)
    _raise(report)
    assert found is not None  # noqa: S101 - a file without problems says something
    return tuple(_cases(found, report, trusted_hops))


def _cases(found: CaseFile, report: Report, trusted_hops: int) -> Iterator[GoldenCase]:
    for index, case in enumerate(found.cases):
        principal = found.principals[case.principal] if isinstance(case.principal, str) else case.principal
        question = _question(case.request.over(found.request), principal, trusted_hops)
        line = report.tree.marks["cases", index].value
        yield GoldenCase(case.name, report.file, line, question, case.expect)


def _check(found: CaseFile, report: Report) -> None:
    seen: dict[str, int] = {}
    for index, case in enumerate(found.cases):
        if isinstance(case.principal, str) and case.principal not in found.principals:
            known = report.tree.data.get("principals", {})
            if case.principal not in known:
                hint = suggestion(case.principal, known)
                report.at(("cases", index, "principal"), f"unknown principal {case.principal!r}{hint}")
        if case.name in seen:
            report.at(("cases", index, "name"), f"a second case named {case.name!r}")
        seen[case.name] = index


def _read(path: Path, shape: type[S]) -> tuple[Report, S | None]:
    text = read_text(path)
    if isinstance(text, Problem):
        raise PolicyError((text,))
    tree = read(text, str(path))
    report = Report(str(path), tree, problems=list(tree.problems))
    if not tree.complete or not tree.marks:
        if not report.problems:
            report.problems.append(Problem(str(path), 1, dotted(()), "the file is empty"))
        return report, None
    return report, validate_as(report, shape)


def _raise(report: Report) -> None:
    if report.problems:
        raise PolicyError(tuple(sorted(report.problems, key=lambda problem: problem.line)[:MAX_PROBLEMS]))


def _question(sent: HttpRequest, principal: Principal | None, trusted_hops: int) -> Question:
    body = sent.body if isinstance(sent.body, str) else "" if sent.body is None else json.dumps(sent.body)
    request = canonical(
        request_id="rehearsal",
        method=sent.method or "GET",
        target=sent.path or "/",
        authority=sent.host or "localhost",
        headers=tuple(sent.headers.items()),
        client_ip=sent.client_ip or "",
        peer=sent.peer or "",
        body=body.encode("utf-8", "surrogatepass"),
        body_state=BodyState.ABSENT if sent.body is None else BodyState.WHOLE,
        trusted_hops=trusted_hops,
    )
    return Question(request, None if principal is None else _identity(principal))


def _identity(given: Principal) -> Identity:
    return Identity(
        subject=given.subject,
        tenant=given.tenant,
        tier=given.tier,
        method=GIVEN,
        roles=frozenset(given.roles),
        scopes=frozenset(given.scopes),
        claims=given.claims,
        credential=given.credential or "",
        client_id=given.client_id or "",
        audiences=None if given.audiences is None else frozenset(given.audiences),
        endpoints=None if given.endpoints is None else frozenset(given.endpoints),
    )
