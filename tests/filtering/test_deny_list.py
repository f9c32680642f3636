"""Denied terms: found in every disguise, whole, the longest first, however the text is cut."""

from __future__ import annotations

import random
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tidegate.filtering.deny_list import DenyList
from tidegate.filtering.letters import MAX_SPACE, Letters, joins, spelled
from tidegate.filtering.view import MAX_INVISIBLE

from tests.filtering.cost import SPOTTED, dear
from tests.filtering.told import cut, cuts, found, marks_of

TERMS = ["Blue Bird"]
TERMS += ["Acme", "Acme Corp", "C++", "foo", "foo barb", "Müller", "日本", "ВТБ", "ΝΕΑ", "straße", "bar baz"]
LIST = DenyList("LIST_X", "x", TERMS)
CASED = DenyList("LIST_X", "x", TERMS, cased=True)
PARTS = DenyList("LIST_X", "x", ["foo", "oof", "foofoo", "a", "aa", "ab aab", "ﬁx"], whole=False)

PIECES = ["blue", "bird", "Acme", "Corp", "c++", "foo", "barb", "bar", "baz", "MÜLLER", "mu\u0308ller", "日本", "втб"]
PIECES += [
    "Νεα",
    "νεα",
    "STRASSE",
    "a",
    "aa",
    "ab",
    "oof",
    "ﬁ",
    "ﬁx",
    "Ｆｏｏ",
    "ac\u200bme",
    "\u200d",
    "\u0301",
    "А",
    "сme",
]
PIECES += [
    " ",
    "  ",
    "\n",
    "\t",
    " " * MAX_SPACE,
    "_",
    "-",
    ".",
    "'s",
    "\\n",
    "\\",
    "n",
    "x",
    "s",
    "\U0001f600",
    "\ud83d",
    "½",
]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=14).map("".join)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("an acme product", ["acme"]),
        ("ACME's", ["ACME"]),
        ("the Acme Corp. offer", ["Acme Corp"]),
        ("acmes and pacme", []),
        ("acme_config, x-acme/acme2", ["acme", "acme"]),
        ("print('\\nacme\\tfoo')", ["acme", "foo"]),
        ("Ａｃｍｅ 𝐀𝐜𝐦𝐞 Аcmе", ["Ａｃｍｅ", "𝐀𝐜𝐦𝐞", "Аcmе"]),
        ("ac\u200bm\u00ade", ["ac\u200bm\u00ade"]),
        ("áçmē a\u0301cme", ["áçmē", "a\u0301cme"]),
        ("Blue\n  bird, blue\u00a0Bird, bluebird", ["Blue\n  bird", "blue\u00a0Bird"]),
        (f"blue{' ' * MAX_SPACE}bird", [f"blue{' ' * MAX_SPACE}bird"]),
        (f"blue{' ' * (MAX_SPACE + 1)}bird", []),
        ("Muller MÜLLER mu\u0308ller", ["Muller", "MÜLLER", "mu\u0308ller"]),
        ("STRASSE, Straße", ["STRASSE", "Straße"]),
        ("I like C++ and c++.", ["C++", "c++"]),
        ("東京日本語", ["日本"]),
        ("втб ВТБ BTБ", ["втб", "ВТБ", "BTБ"]),
        ("Νεα νεα ΝΕΑ NEA", ["Νεα", "νεα", "ΝΕΑ", "NEA"]),
        ("foo barbs", ["foo"]),
        ("foo barb", ["foo barb"]),
        ("foo bar baz", ["foo", "bar baz"]),
    ],
)
def test_terms_are_found_in_every_disguise_and_only_as_whole_words(text: str, values: list[str]) -> None:
    assert found(LIST, text) == values


def test_case_is_told_apart_where_the_list_says_so() -> None:
    assert found(CASED, "Acme acme ACME Ａｃｍｅ blue bird") == ["Acme", "Ａｃｍｅ"]


def test_parts_of_words_are_found_where_the_list_says_so() -> None:
    assert found(PARTS, "xfoofoox") == ["foofoo"]
    assert found(PARTS, "suﬁxes") == ["ﬁx"]


def _meaning(terms: DenyList, words: list[str], text: str, *, whole: bool) -> list[tuple[int, int]]:
    """What a list means, without a machine: the longest term at the first place where one stands, and so on."""
    view = Letters(text, cased=terms.cased)
    letters = view.letters
    known = set().union(*(spelled(word, cased=terms.cased) for word in words))
    spans, at = [], 0
    while at < len(letters):
        ends = [
            at + len(term)
            for term in known
            if letters.startswith(term, at)
            and not (whole and joins(letters[:at][-2:], letters[at]))
            and not (
                whole and at + len(term) < len(letters) and joins(letters[at + len(term) - 1], letters[at + len(term)])
            )
        ]
        if not ends or (spans and view.place(at) < spans[-1][1]):
            at += 1
            continue
        spans.append((view.place(at), view.past(max(ends))))
        at = max(ends)
    return spans


@given(text=TEXTS, places=cuts)
@settings(max_examples=600, deadline=None)
def test_any_cutting_finds_what_the_whole_has_and_what_a_list_means(text: str, places: list[int]) -> None:
    for terms, words, whole in (
        (LIST, TERMS, True),
        (CASED, TERMS, True),
        (PARTS, ["foo", "oof", "foofoo", "a", "aa", "ab aab", "ﬁx"], False),
    ):
        told = marks_of(terms, [text])
        assert [(mark.start, mark.end) for mark in told] == _meaning(terms, words, text, whole=whole)
        assert marks_of(terms, cut(text, places)) == told
        assert marks_of(terms, [*text]) == told


def test_what_is_held_is_a_term_with_what_nobody_sees_in_it() -> None:
    terms = DenyList("LIST_X", "x", ["a" * 40 + "b"])
    gap = "\u200b" * MAX_INVISIBLE
    marks_of(terms, [*("a" + gap) * 60])
    assert terms.cap == 41 * (MAX_INVISIBLE + 1)


def test_nothing_is_held_of_a_text_that_cannot_be_a_term() -> None:
    reading = LIST.open()
    reading.feed("nothing here ends like the beginning of one")
    assert reading.decided == 43
    reading.feed(" but this acm")
    assert reading.decided == 43 + len(" but this ")


def test_an_empty_list_finds_nothing() -> None:
    empty = DenyList("LIST_X", "x", [])
    assert found(empty, "anything") == []
    assert empty.cap == 0


CHAINS = {"a" * size for size in range(1, 256)} | {"a" * size + "b" for size in range(256)} | {"ab " * 50 + "c"}
NESTED = [DenyList("LIST_X", "x", CHAINS), DenyList("LIST_X", "x", CHAINS, whole=False)]


@pytest.fixture(scope="module")
def large() -> tuple[DenyList, list[str]]:
    draw = random.Random(7)
    words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(5, 14))) for _ in range(60_000)]
    terms = sorted({f"{draw.choice(words)} {draw.choice(words)}" for _ in range(100_000)})
    return DenyList("LIST_X", "x", terms), terms


def test_each_of_a_hundred_thousand_terms_is_found(large: tuple[DenyList, list[str]]) -> None:
    compiled, terms = large
    text = "; ".join(terms[::7])
    assert found(compiled, text.upper()) == [term.upper() for term in terms[::7]]


@pytest.mark.parametrize("hostile", ["a", "ab ", "aA ", "\u200ba", "ａ", " ", "aaaaaaaab", f"{'a' * 250}c", "é"])
def test_a_megabyte_of_the_worst_is_quick(hostile: str, large: tuple[DenyList, list[str]]) -> None:
    text = hostile * (1_000_000 // len(hostile.encode()))
    for terms in (*NESTED, large[0]):
        assert not dear(partial(told, terms), text, SPOTTED)


def told(terms: DenyList, text: str) -> None:
    marks_of(terms, [text])
