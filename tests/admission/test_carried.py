"""What a reservation of an outage carries is what was charged, and nothing that anybody else writes is taken for it."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate.admission.arithmetic import MAX_COST
from tidegate.admission.carried import beyond, carried, carry
from tidegate.model import Charge

from tests.admission.world import limit

DAY = 86_400.0
TOKENS = replace(limit("sliding_window", 1000, period=DAY, name="tokens"), cost="tokens", per=("tenant", "model"))
MONEY = replace(
    limit("quota", 10**9, name="month", resets="month"), cost="money", currency="EUR", time_zone="Europe/Rome"
)
BUCKET = replace(limit("token_bucket", 50, refill=10, period=60.0, name="burst"), cost="prompt_tokens", shadow=True)
REQUESTS = limit("sliding_window", 10, period=DAY, name="requests")
OPEN = limit("concurrency", 5, period=60.0, name="open")


@given(st.lists(st.builds(Charge, st.sampled_from([TOKENS, MONEY, BUCKET]), st.text(), st.integers(0, MAX_COST))))
def test_what_was_charged_comes_back(charges: list[Charge]) -> None:
    text = carry("m1", charges)
    assert carried(text) == ("m1", charges)
    assert not set(text) & set("{} ")  # which part reservations of a cluster
    assert all(one.limit is other.limit for one, other in zip(carried(text)[1], carried(text)[1], strict=True))


def test_what_is_known_at_admission_is_not_carried() -> None:
    assert carry("m1", [Charge(REQUESTS, "k"), Charge(OPEN, "k")]) == "m1"
    assert carried("m1") == ("m1", [])


def forged(**changes: Any) -> str:
    parts = [[{**orjson.loads(orjson.dumps(TOKENS)), **changes.pop("limit", {})}, "k", 1]]
    for place, value in changes.items():
        parts[0][int(place.removeprefix("at_"))] = value
    return "m1." + base64.urlsafe_b64encode(orjson.dumps(parts)).decode()


@pytest.mark.parametrize(
    "text",
    [
        "m1.",
        "m1.!!!",
        "m1.e30=",
        "m1." + base64.urlsafe_b64encode(b"[NaN]").decode(),
        "m1." + base64.urlsafe_b64encode(b"[" * 100_000).decode(),
        forged(at_1=5),
        forged(at_2="5"),
        forged(at_2=-1),
        forged(at_2=MAX_COST + 1),
        forged(limit={"algorithm": "none"}),
        forged(limit={"algorithm": "concurrency"}),
        forged(limit={"cost": "requests"}),
        forged(limit={"period": 0}),
        forged(limit={"period": 1e300}),
        forged(limit={"capacity": -1}),
        forged(limit={"capacity": 2**60}),
        forged(limit={"algorithm": "quota"}),
        forged(limit={"algorithm": "quota", "resets": "month", "time_zone": "Nowhere/Else"}),
        forged(limit={"algorithm": "quota", "resets": "month", "time_zone": "../../etc/passwd"}),
        forged(limit={"algorithm": "token_bucket"}),
        forged(limit={"scope": None}),
    ],
)
def test_what_nobody_here_wrote_carries_nothing(text: str) -> None:
    assert carried(text) == ("m1", [])


def test_only_what_was_not_reserved_is_charged_beyond() -> None:
    charges = [Charge(TOKENS, "k", 70), Charge(MONEY, "k", 7), Charge(BUCKET, "k", 1)]
    assert beyond(charges, {"tokens": 100, "money": 7}) == [Charge(TOKENS, "k", 30)]
    assert beyond(charges, {"tokens": 2**60})[0].cost == MAX_COST - 70
    assert beyond(charges, {}) == beyond(charges, {"requests": 5}) == []
