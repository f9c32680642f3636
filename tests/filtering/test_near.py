"""Words: every row whose word stands before a position is among those that are asked there."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tidegate.filtering.detector import UNANCHORED, matcher, worded
from tidegate.filtering.detectors import DETECTORS
from tidegate.filtering.near import Near, Words
from tidegate.filtering.questions import Question
from tidegate.filtering.rewriter import rewrite
from tidegate.filtering.ruleset import Action
from tidegate.filtering.view import fold

from tests.filtering.corpus import PLANS

NEAR = [row for row in DETECTORS if row.near]
AUTOMATON = Near(NEAR)
QUESTIONS = [Question(row, row.exact.match, row.cap, None) for row in NEAR]
SEARCH = {row: matcher(worded(row.near)) for row in NEAR}
PIECES = [" ", "_", "\\n", ".", "-", "s", "no", "number", "NUMBER", "key", "bank ", "12345678", "\u00e9"]


@given(
    st.lists(
        st.one_of(
            st.sampled_from([value for row in NEAR for value in row.positives]),
            st.sampled_from([word for row in NEAR for value in row.positives for word in value.split()]),
            st.sampled_from(PIECES),
        ),
        max_size=12,
    )
)
def test_no_row_whose_word_is_near_is_left_out(parts: list[str]) -> None:
    view = fold("".join(parts)).view
    words = Words(AUTOMATON, view)
    for at in range(1, len(view) + 1):
        named = {question.row for question in words.before(at, QUESTIONS)}
        for row in NEAR:
            if SEARCH[row](UNANCHORED, view, max(0, at - row.within), at)[0][0] >= 0:
                assert row in named, (view, at, row.name)


def test_a_word_far_behind_another_is_not_passed_over() -> None:
    """Wherever the second word stands, and whatever its value needs of the text that the first one reaches."""
    word, value = "wandb_api_key ", "4f9a2c7b0d5e81634f9a2c7b0d5e81634f9a2c7b"
    for gap in range(4, 140, 2):
        for behind in (20, 40, 56):
            text = "nhs ".ljust(gap, ".") + word.ljust(behind, ".") + f" {value} end"
            assert rewrite(PLANS[Action.REDACT], text).endswith(" [WANDB_KEY] end"), (gap, behind)
