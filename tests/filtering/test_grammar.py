"""Patterns as values: prefixes, length and first bytes, each against what `re` says by trying."""

from __future__ import annotations

import re
from itertools import product

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st
from tidegate.filtering import grammar
from tidegate.filtering.detector import Detector, options
from tidegate.filtering.detectors import DETECTORS
from tidegate.filtering.view import fold

PATTERNS = [
    "ab",
    "a|bc",
    "a?b",
    "a*",
    "(?:ab){2}",
    "a{1,2}b",
    "(?:a|bb){0,2}c",
    "[ab]+c",
    "(?i:a)b|c{2}",
    "(?:)",
    "a(?:b|)c",
]
TEXTS = ["".join(chars) for size in range(6) for chars in product("abcA", repeat=size)]


@pytest.mark.parametrize("source", PATTERNS)
def test_proper_prefixes_are_what_can_still_grow_into_a_match(source: str) -> None:
    node = grammar.parse(source)
    whole = re.compile(grammar.render(node))
    assert all(bool(whole.fullmatch(text)) == bool(re.fullmatch(source, text)) for text in TEXTS)
    matches = [text for text in TEXTS if whole.fullmatch(text)]
    prefix = grammar.prefixes(node)
    for text in (text for text in TEXTS if len(text) < 4):
        grows = any(match.startswith(text) and match != text for match in matches)
        assert grows == (prefix is not None and re.fullmatch(prefix, text) is not None), text


@pytest.mark.parametrize(
    ("source", "length"), [("ab", 2), ("a|bcd", 3), ("a{2,5}b?", 6), ("a+", None), ("(?:a*|b)c", None)]
)
def test_the_longest_match(source: str, length: int | None) -> None:
    assert grammar.longest(grammar.parse(source)) == length


def test_the_bytes_a_match_begins_with() -> None:
    assert grammar.first(grammar.parse(r"a?[b\x2d](?i:c)|\(")) == frozenset(b"ab-(")


def test_the_bytes_a_match_has_anywhere() -> None:
    assert grammar.alphabet(grammar.parse(r"a?[b\x2d]{2}(?:c|(?i:d))*")) == frozenset(b"ab-cdD")


@pytest.mark.parametrize("source", ["a)", "(?:a", "(?=a)", "[a", "{2}", "*", "^a", "a$"])
def test_syntax_outside_the_shared_subset_is_refused(source: str) -> None:
    with pytest.raises(ValueError, match=r"cannot read|unbalanced"):
        grammar.parse(source)


@given(row=st.sampled_from(DETECTORS), data=st.data())
def test_what_is_loosely_unfinished_is_all_that_is_unfinished(row: Detector, data: st.DataObject) -> None:
    value = fold(data.draw(st.sampled_from(row.positives))).view
    start = data.draw(st.integers(0, len(value)))
    part = value[start : data.draw(st.integers(start, len(value)))]
    patterns = (row.unfinished, row.loosely_unfinished)
    exact, loose = (re2.compile(pattern.encode("latin-1"), options()) for pattern in patterns)
    assert exact.fullmatch(part) is None or loose.fullmatch(part) is not None
