"""Results and errors reach another process (a pool's, a queue's) as they are."""

from __future__ import annotations

import copy
import pickle
from types import MappingProxyType
from typing import Any

import pytest
from tidegate_client import (
    CircuitOpen,
    Coverage,
    Denied,
    Filtered,
    Finding,
    ResponseCutOff,
    TidegateInvalid,
    TidegateUnavailable,
)

COVERAGE = Coverage("json", 10, 2, 3, 1, MappingProxyType({"number": 1}), "valid")


@pytest.mark.parametrize(
    "failure",
    [
        TidegateUnavailable("DEADLINE_EXCEEDED", "no answer in time"),
        TidegateInvalid("unknown ruleset"),
        CircuitOpen("deny"),
        ResponseCutOff("the response was withheld"),
    ],
)
def test_an_error_is_the_same_elsewhere(failure: Exception) -> None:
    there = pickle.loads(pickle.dumps(failure))
    assert (type(there), str(there), vars(there)) == (type(failure), str(failure), vars(failure))


@pytest.mark.parametrize(
    "result",
    [COVERAGE, Filtered("x", (Finding("EMAIL", "redact"),), COVERAGE), Denied(status=429, reason="r", message="m")],
)
def test_a_result_is_the_same_elsewhere(result: Any) -> None:
    assert pickle.loads(pickle.dumps(result)) == copy.deepcopy(result) == result


def test_an_error_says_its_status_and_why() -> None:
    assert str(TidegateUnavailable("UNAVAILABLE", "gone")) == "UNAVAILABLE: gone"
