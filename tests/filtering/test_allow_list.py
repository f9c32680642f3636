"""Allowed values: left alone whole, in whatever way they are written, and nothing more than they."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tidegate.filtering.allow_list import Allowed, AllowList
from tidegate.filtering.deny_list import DenyList
from tidegate.filtering.rewriter import TextRewriter, rewrite
from tidegate.filtering.ruleset import Action, FilterPlan
from tidegate.filtering.staged import rewriting

from tests.filtering.spots import Words
from tests.filtering.told import cut, cuts

OWN = AllowList(["support@example.com", "+1 212-555-0100", "203.0.113.7"], ["help.example.com"])
FLOOR = frozenset({"PHONE"})


@pytest.mark.parametrize(
    ("entity", "value", "allowed"),
    [
        ("EMAIL", "support@example.com", True),
        ("EMAIL", "SUPPORT@Example.com", True),
        ("EMAIL", "ｓｕｐｐｏｒｔ@exam\u200bple.com", True),
        ("EMAIL", "xsupport@example.com", False),
        ("EMAIL", "support@example.com.evil.example", False),
        ("EMAIL", "anyone@help.example.com", True),
        ("EMAIL", "anyone@eu.help.example.com", True),
        ("EMAIL", "anyone@nohelp.example.com", False),
        ("EMAIL", "help.example.com@evil.example", False),
        ("PHONE", "(212) 555-0100", True),
        ("PHONE", "+1 212 555 0101", False),
        ("IP_ADDRESS", "203.0.113.7", True),
        ("IP_ADDRESS", "203.0.113.77", False),
        ("URL_WITH_CREDENTIALS", "https://a:b@help.example.com/", False),
    ],
)
def test_a_value_is_allowed_when_all_of_it_is_listed(entity: str, value: str, *, allowed: bool) -> None:
    assert OWN.covers(entity, value) is allowed


def test_a_list_for_some_entities_allows_no_others() -> None:
    assert AllowList(["x@example.com"], entities=frozenset({"EMAIL"})).covers("EMAIL", "x@example.com")
    assert not AllowList(["x@example.com"], entities=frozenset({"PHONE"})).covers("EMAIL", "x@example.com")


def test_the_floor_is_touched_by_the_platform_alone() -> None:
    assert not Allowed(own=(OWN,), floor=FLOOR).covers("PHONE", "(212) 555-0100")
    assert Allowed(own=(OWN,), floor=FLOOR).covers("EMAIL", "support@example.com")
    assert Allowed(platform=(OWN,), floor=FLOOR).covers("PHONE", "(212) 555-0100")


PLAN = FilterPlan(
    {"EMAIL": Action.REDACT, "PHONE": Action.MASK, "IP_ADDRESS": Action.ANNOTATE, "CREDIT_CARD": Action.BLOCK},
    allowed=Allowed(platform=(OWN,)),
)
PIECES = [
    "support@example.com",
    "bob@example.com",
    "a@help.example.com",
    "+1 212-555-0100",
    "(212) 555-0199",
    " ",
    ", ",
    "x",
]
PIECES += ["203.0.113.7", "203.0.113.9", "4111 1111 1111 1111", "@", "\u200b", "é", ".", "Ｓupport@example.com", "\n"]


def test_what_is_allowed_stays_and_is_no_finding() -> None:
    text = "Write to Support@example.com, not bob@example.com; call (212) 555-0100 or ping 203.0.113.7."
    rewriter = TextRewriter(PLAN)
    assert rewriter.feed(text) + rewriter.finish() == text.replace("bob@example.com", "[EMAIL]")
    assert dict(rewriter.findings) == {("EMAIL", "redact"): 1}


WRAPPED = ["x+4111111111111111", "m.212-555-0199", "bob+078-05-1120", "k+ghp_" + "a1B2" * 9, "u%2B4111111111111111"]


@pytest.mark.parametrize("action", [Action.MASK, Action.REDACT, Action.BLOCK])
@pytest.mark.parametrize("local", WRAPPED)
def test_an_address_of_an_allowed_domain_hides_no_value_of_another_kind(local: str, action: Action) -> None:
    floor = dict.fromkeys(("CREDIT_CARD", "PHONE", "US_SSN", "GITHUB_TOKEN"), action)
    allowed = Allowed(own=(OWN,), floor=frozenset(floor))
    text = f"to {local}@help.example.com or ada@help.example.com"
    strict = FilterPlan({"EMAIL": Action.REDACT, **floor}, allowed=allowed)
    for chunks in ([text], list(text)):
        rewriter = TextRewriter(strict)
        out = "".join(map(rewriter.feed, chunks)) + rewriter.finish()
        assert local not in out
        assert out.endswith(" or ada@help.example.com") or rewriter.blocked
    assert rewrite(FilterPlan({"EMAIL": Action.REDACT}, allowed=allowed), text) == text


def test_a_listed_address_stays_whatever_it_holds() -> None:
    allowed = Allowed(platform=(AllowList(["desk+4111111111111111@example.com"]),))
    both = FilterPlan({"EMAIL": Action.REDACT, "CREDIT_CARD": Action.REDACT}, allowed=allowed)
    assert rewrite(both, "desk+4111111111111111@example.com") == "desk+4111111111111111@example.com"


@given(text=st.lists(st.sampled_from(PIECES), max_size=10).map("".join), places=cuts)
@settings(max_examples=300, deadline=None)
def test_any_cutting_allows_the_same(text: str, places: list[int]) -> None:
    for chunks in (cut(text, places), [*text]):
        rewriter = TextRewriter(PLAN)
        out = "".join(map(rewriter.feed, chunks)) + rewriter.finish()
        whole = TextRewriter(PLAN)
        assert out == whole.feed(text) + whole.finish()
        assert rewriter.findings == whole.findings
        assert rewriter.blocked == whole.blocked


STAGED = replace(
    PLAN,
    actions={**PLAN.actions, "NAME": Action.REDACT, "LIST_X": Action.MASK, "SEEN": Action.ANNOTATE},
    spotters=(
        Words("NAME", ("support@example.com", "x", "[EMAIL]")),
        DenyList("LIST_X", "x", ["bob", "support"]),
        Words("SEEN", ("203.0.113.7", "203.0.113.9", "x")),
    ),
)


def test_what_is_allowed_stays_in_the_second_stage_too() -> None:
    out, findings = run(STAGED, ["ask support@example.com or x at 203.0.113.7 "])
    assert out == "ask *******@example.com or [NAME] at 203.0.113.7 "  # a term of a list is no allowed value by itself
    assert findings == {("LIST_X", "mask"): 1, ("NAME", "redact"): 1, ("SEEN", "annotate"): 1}
    assert run(replace(STAGED, allowed=None), ["ping 203.0.113.7 "])[1]["SEEN", "annotate"] == 1


@given(text=st.lists(st.sampled_from(PIECES), max_size=10).map("".join), places=cuts)
@settings(max_examples=300, deadline=None)
def test_any_cutting_allows_the_same_in_both_stages(text: str, places: list[int]) -> None:
    whole = run(STAGED, [text])
    assert run(STAGED, cut(text, places)) == whole
    assert run(STAGED, [*text]) == whole


def run(plan: FilterPlan, chunks: list[str]) -> tuple[str, dict[tuple[str, str], int]]:
    rewriter = rewriting(plan)
    out = "".join(map(rewriter.feed, chunks)) + rewriter.finish()
    return out, dict(rewriter.findings)


def test_without_a_list_everything_is_touched() -> None:
    assert rewrite(FilterPlan({"EMAIL": Action.DROP}), "to support@example.com") == "to "
