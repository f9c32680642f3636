"""The classifier that is shipped: what it finds, what it leaves alone, and that cutting and size change nothing."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from random import Random

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tidegate.filtering.passages import LONGEST
from tidegate.filtering.ruleset import Action, FilterPlan
from tidegate.filtering.safety.categories import CATEGORIES
from tidegate.filtering.safety.classifier import Classifier
from tidegate.filtering.staged import rewriting

from tests.filtering.cost import SPOTTED, dear
from tests.filtering.technical import Text
from tests.filtering.told import marks_of

CASES = yaml.safe_load((Path(__file__).parents[2] / "cases" / "safety.yaml").read_text(encoding="utf-8"))
SENTENCES = [case["text"] for case in CASES] + ["Ada.", "\n", "  ", "no end", "4111 1111 1111 1111. "]


@cache
def plan(action: Action = Action.REDACT) -> FilterPlan:
    return FilterPlan({**dict.fromkeys(CATEGORIES, action), "CREDIT_CARD": Action.REDACT}, spotters=(Classifier(),))


def run(plan: FilterPlan, chunks: list[str]) -> tuple[str, Mapping[tuple[str, str], int], str]:
    rewriter = rewriting(plan)
    out = "".join(map(rewriter.feed, chunks)) + rewriter.finish()
    return out, dict(rewriter.findings), rewriter.blocked.entity if rewriter.blocked else ""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["text"][:60])
def test_a_sentence_falls_under_its_categories(case: dict[str, object]) -> None:
    (verdict,) = Classifier().judge([str(case["text"])])
    wanted = case["want"]
    assert isinstance(wanted, list)
    if wanted:
        assert set(wanted) <= set(verdict.categories)
    else:
        assert not verdict.categories


def test_a_passage_is_replaced_and_the_space_around_it_stays() -> None:
    text = "Fine.  \n  You are a pathetic idiot and nobody likes you.  \nFine again.\n"
    assert run(plan(), [text])[0] == "Fine.  \n  [HARASSMENT]  \nFine again.\n"


def test_a_passage_under_several_categories_is_one_value() -> None:
    text = "I will kill you, you filthy pathetic idiot."
    out, found, _ = run(plan(), [text])
    assert out in ("[HARASSMENT]", "[VIOLENCE]", "[HATE]")
    assert len(found) > 1


def test_a_threshold_decides_what_is_found() -> None:
    text = ["Kill the boss."]
    sure, unsure = Classifier(dict.fromkeys(CATEGORIES, 0.99)), Classifier(dict.fromkeys(CATEGORIES, 0.01))
    assert len(unsure.judge(text)[0].categories) > len(sure.judge(text)[0].categories)


@settings(deadline=None)
@given(st.lists(st.sampled_from(SENTENCES), max_size=6), st.sampled_from(Action), st.data())
def test_the_outcome_does_not_depend_on_the_cutting(parts: list[str], action: Action, data: st.DataObject) -> None:
    text = " ".join(parts)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=6)))
    chunks = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    whole = run(plan(action), [text])
    assert run(plan(action), chunks) == whole
    assert run(plan(action), list(text)) == whole


def test_no_more_than_a_passage_is_held() -> None:
    rewriter = rewriting(FilterPlan(dict.fromkeys(CATEGORIES, Action.REDACT), spotters=(Classifier(),)))
    for _ in range(4000):
        rewriter.feed("word")
        assert rewriter.held <= LONGEST


def test_less_than_one_false_finding_in_10000_characters_of_code_and_technical_prose() -> None:
    size = 500_000
    text = Text(2024).make(size)
    rewriter = rewriting(FilterPlan(dict.fromkeys(CATEGORIES, Action.ANNOTATE), spotters=(Classifier(),)))
    assert rewriter.feed(text) + rewriter.finish() == text
    assert sum(rewriter.findings.values()) < size / 10_000


def _distinct_words() -> str:
    rng = Random(1)
    letters = "abcdefghijklmnopqrstuvwxyz0@$*"
    return " ".join("".join(rng.choice(letters) for _ in range(rng.randint(3, 9))) for _ in range(150_000))


@pytest.mark.parametrize(
    "text",
    [
        _distinct_words(),
        "a " * 500_000,
        "a.b.c." * 170_000,
        "a" * 1_000_000,
        "\u00e9\u0430" * 500_000,
        "you idiot. " * 95_000,
        "a\n" * 500_000,
        ". " * 500_000,
        "".join(f"{number:x}.\n" for number in range(1 << 12, 1 << 16)) * 3,
    ],
    ids=[
        *("distinct words", "letters apart", "letters with dots", "one word", "folded", "all found"),
        *("lines of a letter", "sentences of nothing", "distinct short lines"),
    ],
)
def test_a_megabyte_of_the_worst_is_read_in_linear_time(text: str) -> None:
    assert not dear(judged, text, SPOTTED)


def judged(text: str) -> None:
    marks_of(Classifier(), [text])
