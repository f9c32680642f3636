"""docs/hold-back.md is what is counted, counting is right, and nothing is held beyond what is published."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate.filtering.detectors import DETECTORS, ENTITIES, expand
from tidegate.filtering.encodings import context
from tidegate.filtering.escapes import MAX_WRITTEN
from tidegate.filtering.passages import LONGEST, Passages
from tidegate.filtering.rewriter import TextRewriter
from tidegate.filtering.ruleset import Action, FilterPlan

from tests import hold_back_reference
from tests.filtering.corpus import SINGLE, texts
from tests.hold_back_reference import PATTERN_GROUPS, passages, tokens, waits_of
from tests.quality import corpus


def test_the_page_is_what_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    assert hold_back_reference.main([]) == 0, capsys.readouterr().err


def test_no_row_of_the_page_holds_more_than_its_cap() -> None:
    page = hold_back_reference.FILE.read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.*?) \| [\d.]+% \|.*\| (\d+) \| ([\d,]+) \| [\d,]+ \|$", page, re.MULTILINE)
    assert len(rows) > len(PATTERN_GROUPS)
    assert [name for name, held, cap in rows if int(held) > int(cap.replace(",", ""))] == []


@given(texts)
def test_a_tokenizer_loses_nothing(text: str) -> None:
    assert "".join(tokens(text)) == text


def test_a_character_waits_as_many_tokens_as_come_before_it_leaves() -> None:
    waits = waits_of(SINGLE["EMAIL"], ["so bob @ x"])
    assert tokens("so bob @ x") == ["so", " bob", " @", " x"]
    assert waits.counts == {0: len(" " + " @" + " x"), 1: len("so" + "bob")}
    assert waits.most_held == len("bob")
    assert (waits.at(0.5), waits.at(0.51)) == (0, 1)
    assert waits.share() == 0.5


def test_what_reads_sentences_waits_for_their_ends() -> None:
    waits = passages(["One two. Three"])
    assert tokens("One two. Three") == ["One", " two", ".", " Three"]
    assert waits.counts == {3: len("One"), 2: len(" two"), 1: len("."), 0: len(" Three")}
    assert waits.most_held == len("One two.")


@given(st.lists(st.text("aB .!?\n,\u3002", max_size=400), max_size=12))
def test_what_reads_sentences_holds_no_more_than_is_published(chunks: list[str]) -> None:
    reading, taken = Passages(), 0
    for chunk in chunks:
        reading.feed(chunk)
        taken += len(chunk)
        assert taken - reading.decided < LONGEST


@pytest.mark.parametrize("group", PATTERN_GROUPS)
def test_a_group_holds_no_more_than_the_longest_of_its_detectors(group: str) -> None:
    entities = expand([group])
    cap = context(max(row.cap for row in DETECTORS if row.entity in entities))
    plan = FilterPlan(dict.fromkeys(entities & ENTITIES, Action.REDACT))
    for text, _ in corpus.chat(4, 20):
        rewriter = TextRewriter(plan)
        for char in text:
            rewriter.feed(char)
            assert rewriter.held <= cap


def test_what_is_held_is_looked_at_again_before_it_has_grown_by_much() -> None:
    rewriter, text = TextRewriter(SINGLE["PRIVATE_KEY"]), "-----BEGIN PRIVATE KEY-----" + "\nabc: " * 2000
    cap = max(row.cap for row in DETECTORS if row.entity == "PRIVATE_KEY")
    held = []
    for char in text:
        rewriter.feed(char)
        held.append(rewriter.held)
    assert cap // 2 < max(held) <= cap + MAX_WRITTEN


def test_little_that_is_held_is_looked_at_with_every_character() -> None:
    rewriter = TextRewriter(SINGLE["EMAIL"])
    assert [rewriter.feed(char) for char in "see " + "a" * 40 + " so"][-4:] == ["", "a" * 40 + " ", "", ""]
