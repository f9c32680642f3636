"""Goldens of the text rewriter, at once and one character at a time, and its manners."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from tidegate.errors import ProtocolViolation
from tidegate.filtering.actions import replacement
from tidegate.filtering.rewriter import TextRewriter, rewrite
from tidegate.filtering.ruleset import Action, FilterPlan
from tidegate.filtering.view import MAX_INVISIBLE

from tests.filtering.corpus import PLANS, run

CASES = yaml.safe_load((Path(__file__).parents[1] / "cases" / "filtering_text.yaml").read_text())


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_case(case: dict[str, Any]) -> None:
    plan = FilterPlan({entity: Action[act.upper()] for entity, act in case["plan"].items()})
    for chunks in ([case["in"]], list(case["in"])):
        out, findings, blocked = run(plan, chunks)
        assert out == case["want"]
        assert {f"{entity} {action}": count for (entity, action), count in findings.items()} == case["findings"]
        assert (blocked.entity if blocked else None) == case.get("blocked")


def test_nothing_follows_the_end() -> None:
    rewriter = TextRewriter(PLANS[Action.REDACT])
    assert rewriter.feed("bob") == ""
    assert rewriter.held == 3
    assert rewriter.finish() == "bob"
    assert rewriter.finish() == ""
    with pytest.raises(ProtocolViolation):
        rewriter.feed("x")


def test_an_empty_plan_lets_everything_pass_at_once() -> None:
    rewriter = TextRewriter(FilterPlan({}))
    assert rewriter.feed("bob@example.com\u200b" * 3) == "bob@example.com\u200b" * 3
    assert (rewriter.held, rewriter.finish(), rewriter.scanned) == (0, "", 48)


def test_what_is_taken_in_is_counted() -> None:
    rewriter = TextRewriter(PLANS[Action.BLOCK])
    rewriter.feed("hello ")
    rewriter.feed("bob@example.com ")
    rewriter.feed("more")
    assert rewriter.scanned == len("hello bob@example.com ")


def test_a_lone_surrogate_is_text_like_any_other() -> None:
    assert rewrite(PLANS[Action.HASH], "\ud800 bob@ex\ud800ample.com \udfff") == "\ud800 bob@ex\ud800ample.com \udfff"
    assert rewrite(PLANS[Action.REDACT], "\ud800bob@example.com\udfff") == "\ud800[EMAIL]\udfff"


def test_a_hash_is_of_the_value_and_not_of_its_spelling() -> None:
    def hashed(entity: str, text: str, key: bytes = b"k") -> str:
        return rewrite(FilterPlan({entity: Action.HASH}), text, key=key)

    assert hashed("EMAIL", "Bob@Example.com") == hashed("EMAIL", "b\u200bob\uff20example.com")
    assert hashed("CREDIT_CARD", "4111-1111-1111-1111") == hashed("CREDIT_CARD", "4111111111111111")
    assert hashed("PHONE", "(415) 555-0132") == hashed("PHONE", "+1.415.555.0132") == hashed("PHONE", "1-415-555-0132")
    assert hashed("IBAN", "gb82 west 1234 5698 7654 32") == hashed("IBAN", "GB82WEST12345698765432")
    assert hashed("IP_ADDRESS", "2001:db8:0::1") == hashed("IP_ADDRESS", "2001:DB8::1")
    assert hashed("EMAIL", "j\u00fcrgen@example.com") != hashed("EMAIL", "j\u00f6rgen@example.com")
    assert hashed("EMAIL", "bob@example.com") != hashed("EMAIL", "bob@example.com", key=b"other")


def test_a_run_of_invisible_characters_is_cut_so_that_it_can_neither_hide_nor_hoard() -> None:
    hidden = "4111" + "\u200b" * 500 + "111111111111"
    for chunks in ([hidden], list(hidden), [hidden[:100], hidden[100:]]):
        assert run(PLANS[Action.REDACT], chunks)[0] == "[CREDIT_CARD]"
    assert (
        run(PLANS[Action.REDACT], ["a", "\u200b" * 10, "\u200b" * 10, "b"])[0] == "a" + "\u200b" * MAX_INVISIBLE + "b"
    )


def test_a_block_replaces_nothing() -> None:
    with pytest.raises(ValueError, match="replaces nothing"):
        replacement(Action.BLOCK, "EMAIL", "bob@example.com")


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("card %4111 1111 1111 1111 x", "card [CREDIT_CARD] x"),
        ("%5555555555554444", "[CREDIT_CARD]"),
        ("&#4111 1111 1111 1111", "[CREDIT_CARD]"),
        ("\\x4111111111111111", "[CREDIT_CARD]"),
        ("SSN \\123-45-6789", "SSN [US_SSN]"),
        ("4111111111111111%31", "[CREDIT_CARD]%31"),
        ("%34111111111111111", "[CREDIT_CARD]"),  # what the escape stands for is read as well
        ("D%4589 3704 0044 0532 0130 00", "[IBAN]"),
    ],
)
def test_what_stands_in_an_escape_hides_no_value_that_stands_there_as_it_is_written(text: str, want: str) -> None:
    plan = FilterPlan(dict.fromkeys(["CREDIT_CARD", "US_SSN", "IBAN", "EMAIL"], Action.REDACT))
    for chunks in ([text], list(text)):
        assert run(plan, chunks)[0] == want
