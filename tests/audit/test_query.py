"""Which response belongs to which decision, and how much of a log is held to tell."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from tidegate.audit.query import Filter, exchanges, findings_of


def record(kind: str, request_id: str, at: int, subject: str = "", **fields: Any) -> dict[str, Any]:
    moment = datetime.fromtimestamp(1_800_000_000 + at, UTC).isoformat()
    who = {"subject": subject, "tenant": "acme" if subject else "", "endpoint": "chat" if subject else ""}
    return {"kind": kind, "request_id": request_id, "at": moment, **who, **fields}


def decision(request_id: str, at: int, subject: str, credential: str, verdict: str = "allow") -> dict[str, Any]:
    return record("decision", request_id, at, subject, credential=credential, verdict=verdict)


def response(request_id: str, at: int, subject: str = "", entity: str = "EMAIL") -> dict[str, Any]:
    findings = [{"action": "redact", "count": 1, "entity": entity}]
    return record("response", request_id, at, subject, findings=findings)


def received(log: list[dict[str, Any]], **wanted: Any) -> list[tuple[str, list[str]]]:
    found = exchanges(log, Filter(**wanted))
    return [(one.get("credential"), [each["entity"] for each in findings_of(one)]) for one in found]


ADA, BOB = decision("same", 0, "ada", "k1"), decision("same", 1, "bob", "k2")
OVER = decision("same", 0, "ada", "k1", verdict="deny")
TO_ADA, TO_BOB = response("same", 9, "ada", "EMAIL"), response("same", 8, "bob", "US_SSN")


@pytest.mark.parametrize("log", [[ADA, BOB, TO_BOB, TO_ADA], [TO_BOB, TO_ADA, BOB, ADA]])
def test_a_request_id_that_two_callers_chose_gives_neither_the_others_response(log: list[dict[str, Any]]) -> None:
    """Behind a proxy that keeps them, request ids are the client's words."""
    assert received(log) == [("k1", ["EMAIL"]), ("k2", ["US_SSN"])]
    assert received(log, credential="k1") == [("k1", ["EMAIL"])]
    assert received(log, credential="k2", entity="EMAIL") == []


def test_a_refused_request_received_nothing_though_its_id_is_that_of_another() -> None:
    later = decision("same", 5, "ada", "k1")
    assert received([OVER, later, TO_ADA], entity="EMAIL") == [("k1", ["EMAIL"])]
    assert received([OVER, TO_ADA]) == [("k1", []), ("", ["EMAIL"])]


def test_a_response_that_nobodys_decision_reached_is_its_requests() -> None:
    assert received([ADA, response("same", 3)]) == [("k1", ["EMAIL"])]


def test_a_response_written_while_the_log_is_read_is_not_one_without_a_decision() -> None:
    class Growing:
        """Between the first reading and the second an exchange is added."""

        read = 0

        def __iter__(self) -> Iterator[dict[str, Any]]:
            self.read += 1
            added = [decision("new", 20, "bob", "k2"), response("new", 21, "bob")] if self.read > 1 else []
            return iter([ADA, TO_ADA, *added])

    assert [one.get("credential") for one in exchanges(Growing(), Filter())] == ["k1"]


def test_what_is_not_asked_for_is_not_held() -> None:
    class Log:
        def __iter__(self) -> Iterator[dict[str, Any]]:
            for number in range(20_000):
                yield decision(f"r{number}", number, "bob", "k2")
                yield response(f"r{number}", number, "bob")
            yield from (ADA, TO_ADA)

    tracemalloc.start()
    try:
        assert received(Log(), credential="k1") == [("k1", ["EMAIL"])]  # type: ignore[arg-type]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 200_000
