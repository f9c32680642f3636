"""Words: every row whose word stands before a position is among those that are asked there."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tidegate.filtering.automaton import Vocabulary, Words
from tidegate.filtering.detector import UNANCHORED, matcher, worded
from tidegate.filtering.detectors import DETECTORS
from tidegate.filtering.view import fold

NEAR = [row for row in DETECTORS if row.near]
VOCABULARY = Vocabulary(NEAR)
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
    words = Words(VOCABULARY, view)
    for at in range(1, len(view) + 1):
        named = words.before(at)
        for row in NEAR:
            if SEARCH[row](UNANCHORED, view, max(0, at - row.within), at)[0][0] >= 0:
                assert row in named, (view, at, row.name)
