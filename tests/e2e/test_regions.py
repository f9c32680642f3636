"""Telephone numbers as the people of a region write them, through Envoy: found, and one value with its country code."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.e2e.keys import POLICY
from tests.e2e.stack import Gate, running_gate
from tests.e2e.test_framing import streamed_text
from tests.e2e.upstream import Upstream, chunked, delta, finish, json_answer

STAND_IN = re.compile(r"\[PHONE_[0-9a-f]{12}\]")


@pytest.fixture(scope="module")
def regional(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Gate]:
    rule = "{detect: [PHONE], act: pseudonymize, scope: tenant, regions: [GB, FR]}"
    policy = POLICY.replace("  stop: [", f"  stop: [{rule}, ", 1)
    with running_gate(tmp_path_factory.mktemp("regional"), upstream, policy=policy) as gate:
        yield gate


def test_a_number_of_a_region_is_one_value_with_its_country_code_and_without(regional: Gate) -> None:
    document = {"here": "020 7946 0958", "there": "+44 20 7946 0958", "other": "01 23 45 67 89", "none": "030/901820"}
    told = regional.get(json_answer(document)).json()

    assert told["here"] == told["there"] != told["other"]
    assert all(STAND_IN.fullmatch(told[name]) for name in ("here", "there", "other"))
    assert told["none"] == document["none"]  # of a region that the rule does not name


def test_a_number_of_a_region_is_found_however_its_stream_is_cut(regional: Gate) -> None:
    whole = regional.get(json_answer({"a": "Call 020 7946 0958 today"})).json()["a"]
    for pieces in (
        ["Call 020 7946 0958 today"],
        ["Call 02", "0 79", "46 09", "58 today"],
        [*"Call 020 7946 0958 today"],
    ):
        stream = regional.get(chunked([*map(delta, pieces), *finish()])).text

        assert streamed_text(stream) == whole
        assert "7946" not in stream


def test_the_receipt_counts_it(regional: Gate) -> None:
    receipt = regional.get(json_answer({"a": "020 7946 0958"})).headers["x-tidegate-coverage"]

    assert "findings=PHONE:pseudonymize:1" in receipt
