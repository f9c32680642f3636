"""What is read by a model and what is not, and what of its answers is a name."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate.filtering.ner.candidates import may_hold_name, windows
from tidegate.filtering.ner.model import LOCATION, NAMES, ORGANIZATION, PERSON, Name
from tidegate.filtering.ner.shapes import trimmed


@pytest.mark.parametrize(
    "sentence",
    [
        "Ada went home.",
        "then ask Ada about it",
        "It is in London.",
        "THE REPORT WAS SIGNED",
        "émile? Émile.",
        "It works with IBM too",
        "Zoë's",
        "安娜去了北京",
        "سافرت ليلى",
    ],
)
def test_what_may_hold_a_name_is_read(sentence: str) -> None:
    assert may_hold_name(sentence)


@pytest.mark.parametrize(
    "sentence",
    [
        "",
        "The model answers with a short summary of what it found.",
        "However, I don't think that it's true; it isn't.",
        "First, open the file.",
        "It\u2019s done, and I\u2019ve seen it.",
        "and revenue grew by 12.5 percent in 2024",
        "the caf\u00e9 was na\u00efve \u2026 1 + 2",
    ],
)
def test_what_holds_none_is_not(sentence: str) -> None:
    assert not may_hold_name(sentence)


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("Ada Byron", "Ada Byron"),
        ("Dear Ms. Ada Byron's", "Ada Byron"),
        ("the Ada Byron,", "Ada Byron"),
        ('"Ada"', "Ada"),
        ("(Ada", "Ada"),
        ("Dr Ada Byron Jr.", "Ada Byron Jr."),
        ("A. B. Byron", "A. B. Byron"),
        ("Ada McDonald-O'Brien", "Ada McDonald-O'Brien"),
        ("LaToya DiCaprio", "LaToya DiCaprio"),
        ("Zoë Müller", "Zoë Müller"),
        ("安娜", "安娜"),
    ],
)
def test_a_person_is_cut_to_the_name(said: str, name: str) -> None:
    sentence = f"So {said} went."
    found = trimmed(Name(PERSON, 3, 3 + len(said)), sentence)
    assert found is not None
    assert sentence[found.start : found.end] == name


@pytest.mark.parametrize("entity", sorted(NAMES))
@pytest.mark.parametrize(
    "said",
    ["ada_byron", "os.path", "Ada.byron", "list[Ada]", "Ada(", "f(x)=Ada", "ada", "...", "x:y", "a@b", "$Ada"],
)
def test_what_has_not_the_shape_of_a_name_is_none(entity: str, said: str) -> None:
    found = trimmed(Name(entity, 3, 3 + len(said)), f"So {said} went.")
    assert found is None or f"So {said} went."[found.start : found.end] == "Ada"


@pytest.mark.parametrize("said", ["TextRewriter", "getName", "Python3", "A1", "X"])
def test_what_looks_like_an_identifier_is_no_person(said: str) -> None:
    assert trimmed(Name(PERSON, 0, len(said)), said) is None


@pytest.mark.parametrize("said", ["RUN", "Error", "FROM THE", "MV8071", "9bc1F", "Key c312d5"])
def test_what_is_a_common_word_or_a_number_of_a_part_is_no_organisation(said: str) -> None:
    assert trimmed(Name(ORGANIZATION, 0, len(said)), said) is None


@pytest.mark.parametrize("sentence", ["sha512-9Ada+Oi", "Ada9bc", "part MV-8071-Ada is", "xAda"])
def test_what_begins_or_ends_within_a_word_is_no_organisation(sentence: str) -> None:
    start = sentence.index("Ada")
    assert trimmed(Name(ORGANIZATION, start, start + 3), sentence) is None


@pytest.mark.parametrize(
    ("entity", "said"),
    [
        (ORGANIZATION, "3M"),
        (ORGANIZATION, "Studio 2026"),
        (ORGANIZATION, "Harbour Works"),
        (ORGANIZATION, "OpenGate 3"),
        (ORGANIZATION, "Acme Inc."),
        (LOCATION, "St. Albans"),
        (LOCATION, "U.S."),
    ],
)
def test_what_only_looks_odd_stays(entity: str, said: str) -> None:
    found = trimmed(Name(entity, 0, len(said)), said)
    assert found == Name(entity, 0, len(said))


def test_low_key_names_are_read_when_they_are_said_to_be_names() -> None:
    assert may_hold_name("my name is noor haddad")
    assert may_hold_name("ask mr haddad")
    assert not may_hold_name("noor haddad is here")


def test_a_window_is_what_may_be_a_name_and_six_words_around_it() -> None:
    sentence = "a b c d e f g h Ada i j k l m n o p q r s t u v w x y z The Bo c"
    assert [sentence[start:end] for start, end in windows(sentence)] == [
        "c d e f g h Ada i j k l m n", "v w x y z The Bo c"
    ]  # fmt: skip
    assert windows("it is Ada") == [(0, 9)]
    assert windows("my name is noor") == [(0, 15)]


@given(st.text(st.sampled_from("aB. \u5b891_"), max_size=60))
def test_every_word_that_may_be_a_name_is_in_a_window(sentence: str) -> None:
    cut = windows(sentence)
    assert all(start < end for start, end in cut) or not sentence
    assert all(one[1] < two[0] for one, two in pairwise(cut))
    for word in re.finditer(r"(?<!\w)[B\u5b89][aB\u5b89]*(?!\w)", sentence):
        assert any(start <= word.start() and word.end() <= end for start, end in cut)
