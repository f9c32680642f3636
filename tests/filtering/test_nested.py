"""Of terms that begin with each other, all that a text goes on with are found."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tidegate.filtering.nested import Nested

letters = st.text("ab", min_size=1, max_size=24)
chains = st.integers(1, 30).map(lambda size: {"a" * length for length in range(1, size)})


@given(st.sets(letters, min_size=1, max_size=40), chains, st.text("ab", max_size=60))
def test_what_is_told_is_all_there_is_and_the_longest_comes_first(some: set[str], chain: set[str], text: str) -> None:
    terms = sorted(some | chain)
    nested = Nested(terms)
    assert nested.roots == [term for term in terms if not any(term.startswith(one) for one in terms if one != term)]
    for start in range(len(text)):
        for number, root in enumerate(nested.roots):
            if text.startswith(root, start):
                told = list(nested.within(text, start, start + len(root), number))
                assert told == sorted((len(one) for one in terms if text.startswith(one, start)), reverse=True)
