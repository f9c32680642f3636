"""Patterns as values: prefixes, length and first bytes, each against what `re` says by trying."""

from __future__ import annotations

import re
from itertools import product

import pytest
from tidegate.filtering import grammar
from tidegate.filtering.detectors import DETECTORS

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


@pytest.mark.parametrize("source", ["a)", "(?:a", "(?=a)", "[a", "{2}", "*", "^a", "a$"])
def test_syntax_outside_the_shared_subset_is_refused(source: str) -> None:
    with pytest.raises(ValueError, match=r"cannot read|unbalanced"):
        grammar.parse(source)


def test_every_row_publishes_its_cap() -> None:
    assert {row.name: row.cap for row in DETECTORS} == {
        "pem": 8192, "jwt": 1024, "aws-access-key-id": 21, "aws-secret-access-key": 82, "github": 256, "openai": 256,
        "slack": 256, "google": 256, "iban": 66, "card": 32, "ssn": 13, "ipv4": 17, "ipv6": 73, "international": 60,
        "nanp": 23, "email": 321, "phone-by-name": 83, "ssn-by-name": 40,
    }  # fmt: skip
