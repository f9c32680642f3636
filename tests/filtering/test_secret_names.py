"""A secret behind a word for one has the name of the row that knows it by itself, where that takes all of it."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate.filtering.detectors import DETECTORS, ENTITIES
from tidegate.filtering.rewriter import rewrite
from tidegate.filtering.ruleset import Action, FilterPlan
from tidegate.filtering.secrets.generic import GENERIC_SECRET

from tests.filtering.corpus import cut_texts, run

EVERYTHING = FilterPlan(dict.fromkeys(ENTITIES, Action.REDACT))
TOKEN = next(row.positives[0] for row in DETECTORS if row.entity == "GITHUB_TOKEN")
UUID = "4f9a2c7b-0d5e-4163-9a2c-7b0d5e81634f"
WORDS = ["api_key = '{}'", "TOKEN={}", "the token is {}.", "| API key | {} |", '"secret": "{}"', "my API key: {}"]


@pytest.mark.parametrize("words", WORDS)
def test_a_token_that_says_whose_it_is_has_its_issuers_name_behind_any_word(words: str) -> None:
    assert rewrite(EVERYTHING, words.format(TOKEN)) == words.format("[GITHUB_TOKEN]")


def test_a_key_that_a_word_says_whose_it_is_has_that_name() -> None:
    assert rewrite(EVERYTHING, f"the Snyk token is {UUID}") == "the Snyk token is [SNYK_TOKEN]"
    assert rewrite(EVERYTHING, f"Snyk token = '{UUID}'") == "Snyk token = '[SNYK_TOKEN]'"
    assert rewrite(EVERYTHING, f"some token = '{UUID}'") == "some token = '[GENERIC_SECRET]'"


def test_one_that_is_longer_than_the_row_knows_is_taken_whole() -> None:
    assert rewrite(EVERYTHING, f"API_KEY={TOKEN}+/more4you") == "API_KEY=[GENERIC_SECRET]"


@pytest.mark.parametrize("words", WORDS)
def test_who_looks_for_nothing_but_secrets_behind_words_finds_every_one(words: str) -> None:
    plan = FilterPlan({GENERIC_SECRET: Action.REDACT})

    assert rewrite(plan, words.format(TOKEN)) == words.format("[GENERIC_SECRET]")


def test_the_stricter_of_both_actions_holds() -> None:
    for generic, own in ((Action.BLOCK, Action.MASK), (Action.MASK, Action.BLOCK)):
        plan = FilterPlan({GENERIC_SECRET: generic, "GITHUB_TOKEN": own})

        assert TOKEN not in rewrite(plan, f"TOKEN={TOKEN} and more")
        assert "more" not in rewrite(plan, f"TOKEN={TOKEN} and more")


@given(
    st.sampled_from(WORDS),
    st.sampled_from([TOKEN, UUID, f"{TOKEN}x", f"{TOKEN}.b"]),
    st.sampled_from(["Snyk ", "so ", ""]),
    cut_texts(),
    st.lists(st.integers(0, 120), max_size=6),
)
def test_the_name_does_not_depend_on_how_the_text_is_cut(
    words: str, value: str, before: str, cut: tuple[str, list[str]], places: list[int]
) -> None:
    text = f"{before}{words.format(value)} {cut[0]}"
    edges = [0, *sorted(min(place, len(text)) for place in places), len(text)]
    pieces = [text[start:end] for start, end in pairwise(edges)]

    assert run(EVERYTHING, pieces) == run(EVERYTHING, [text])
    assert run(EVERYTHING, [*text]) == run(EVERYTHING, [text])
