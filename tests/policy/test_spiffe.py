"""SPIFFE IDs, exactly, and which workload one belongs to."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tidegate.policy import spiffe
from tidegate.policy.workloads import Workload, Workloads


def test_an_id_is_its_trust_domain_and_its_path() -> None:
    assert spiffe.parse("spiffe://prod.example.com/ns/ml/sa/Batch-1_x.y") == (
        "prod.example.com",
        "/ns/ml/sa/Batch-1_x.y",
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "spiffe://",
        "spiffe://prod.example.com",
        "spiffe://prod.example.com/",
        "spiffe:///path",
        "spiffe:/prod.example.com/a",
        "SPIFFE://prod.example.com/a",
        "Spiffe://prod.example.com/a",
        "https://prod.example.com/a",
        "spiffe://Prod.example.com/a",
        "spiffe://prod.example.com:443/a",
        "spiffe://user@prod.example.com/a",
        "spiffe://prod.example.com/a/",
        "spiffe://prod.example.com//a",
        "spiffe://prod.example.com/a//b",
        "spiffe://prod.example.com/a/./b",
        "spiffe://prod.example.com/a/../b",
        "spiffe://prod.example.com/..",
        "spiffe://prod.example.com/a%2fb",
        "spiffe://prod.example.com/a?b",
        "spiffe://prod.example.com/a#b",
        "spiffe://prod.example.com/a b",
        "spiffe://prod.example.com/a\n",
        " spiffe://prod.example.com/a",
        "spiffe://prod.ex\u0430mple.com/a",
        "spiffe://prod.example.com/\uff41",
        "spiffe://prod.example.com/a,spiffe://prod.example.com/b",
        "spiffe://prod.example.com/" + "a" * 255,
    ],
)
def test_what_is_no_id(text: str) -> None:
    assert spiffe.parse(text) is None


@settings(deadline=None)
@given(text=st.text(alphabet="spife:/.a-Z_0%\n", max_size=40) | st.from_regex(r"spiffe://[a-z.]+(/[a-z.]+)+"))
def test_what_is_read_is_all_of_the_text(text: str) -> None:
    found = spiffe.parse(text)
    assert found is None or f"spiffe://{found.trust_domain}{found.path}" == text


def member(name: str) -> Workload:
    return Workload(name, "acme", "free")


def test_its_own_entry_counts_before_the_longest_above_it() -> None:
    ids = [
        "spiffe://a.example/**",
        "spiffe://a.example/ns/ml/**",
        "spiffe://a.example/ns/ml/sa/x",
        "spiffe://b.example/y",
    ]
    workloads = Workloads(tuple(map(member, ids)))
    for name, wanted in (
        ("spiffe://a.example/ns/ml/sa/x", ids[2]),
        ("spiffe://a.example/ns/ml/sa/x/y", ids[1]),
        ("spiffe://a.example/ns/ml/sa/xy", ids[1]),
        ("spiffe://a.example/ns/mlx", ids[0]),
        ("spiffe://a.example/ns/ml", ids[0]),
        ("spiffe://b.example/y", ids[3]),
    ):
        found = workloads.find(name)
        assert found is not None
        assert found.id == wanted
    for name in ("spiffe://b.example/y/z", "spiffe://b.example/x", "spiffe://a.example.evil/x", "spiffe://a.exampl/x"):
        assert workloads.find(name) is None


def test_only_trust_domains_that_are_named_are_known() -> None:
    workloads = Workloads((member("spiffe://a.example/**"), member("spiffe://b.example/x")))
    assert workloads.knows("spiffe://a.example/anything")
    assert workloads.knows("spiffe://b.example/other")
    for name in ("spiffe://c.example/x", "spiffe://a.example.evil/x", "spiffe://x.a.example/x", "a.example", ""):
        assert not workloads.knows(name)
    assert not Workloads()
