"""A text that the sieve lets pass is one that a rewriter leaves as it is."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from tidegate.filtering.detectors import DETECTORS, ENTITIES
from tidegate.filtering.formats.sieve import sieve
from tidegate.filtering.rewriter import rewrite
from tidegate.filtering.ruleset import Action, FilterPlan

from tests.filtering.disguises import CODES, SHORTEST, WAYS, encoded, escaped

ALL = FilterPlan(dict.fromkeys(ENTITIES, Action.REDACT))
VALUES = st.sampled_from([value for row in DETECTORS for value in row.positives + row.negatives])
AROUND = st.text("a1 .,-\n(:@é日\u200b😀", max_size=4)
SHORT = st.tuples(AROUND, VALUES | AROUND, AROUND).map("".join)


@settings(deadline=None)
@given(st.lists(SHORT, min_size=1, max_size=8))
def test_what_passes_holds_nothing(texts: list[str]) -> None:
    suspects = sieve(ENTITIES).suspects(texts)
    for text in texts:
        assert text in suspects or rewrite(ALL, text) == text


def test_every_value_of_the_table_is_suspect_wherever_it_stands() -> None:
    for row in DETECTORS:
        for value in row.positives:
            for texts in ([value], ["", value, ""], ["日\u200b", value, "\u200b"], ["7", value, "7"]):
                assert value in sieve(frozenset({row.entity})).suspects(texts)


def test_every_value_is_suspect_however_it_is_written() -> None:
    for row in DETECTORS:
        written = [escaped(row.positives[0], [way], 2) for way in WAYS]
        if len(row.positives[0].encode()) > SHORTEST and row.positives[0].isascii():
            written += [encoded(row.positives[0], kind) for kind in CODES]
        assert sieve(frozenset({row.entity})).suspects(["", *written, "x"]) == set(written)


def test_texts_that_hold_nothing_pass() -> None:
    texts = ["chat.completion", "assistant", "", "日本", "stop", "\u200b"]
    assert sieve(ENTITIES).suspects([*texts, "bob@example.com", "x"]) == {"bob@example.com"}


def test_a_long_run_of_invisible_characters_is_left_to_the_rewriter() -> None:
    assert sieve(ENTITIES).suspects(["\u200b" * 40, "x"]) == {"\u200b" * 40, "x"}
