"""The model: what is packed comes out again, and what it says of a passage is the sum that its description states."""

from __future__ import annotations

import math
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate.filtering.safety.categories import CATEGORIES
from tidegate.filtering.safety.model import Model, dump, pack, parse, parts, shipped, unpack

WEIGHTS = st.lists(st.integers(-127, 127), min_size=len(CATEGORIES), max_size=len(CATEGORIES))
HEAD = {"categories": list(CATEGORIES), "scale": 10, "bias": [-1.0] * len(CATEGORIES), "groups": ["zorbs", "velki"]}
UNIT = [[10 if at == column else 0 for at in range(len(CATEGORIES))] for column in range(len(CATEGORIES))]


def tiny() -> Model:
    tables = [
        [("bad", UNIT[0]), ("odd", [-10] * 6)],
        [("<group> are", UNIT[1])],
        [("hit <group>", UNIT[2])],
        [("<ug", UNIT[3])],
    ]
    return parse(dump(HEAD, tables))


@given(st.lists(WEIGHTS, min_size=1, max_size=1000))
def test_sums_of_packed_weights_are_sums_of_weights(rows: list[list[int]]) -> None:
    assert unpack(sum(map(pack, rows))) == [sum(column) for column in zip(*rows, strict=True)]


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("", [-1, -1, -1, -1, -1, -1]),
        ("bad", [-0.5, -1, -1, -1, -1, -1]),  # one word counts as four
        ("bad bad b4d one two", [-1 + 3 / math.sqrt(5), -1, -1, -1, -1, -1]),
        ("the Velki are", [-1, -0.5, -1, -1, -1, -1]),
        ("hit the Zorbs", [-1, -1, -0.5, -1, -1, -1]),
        ("ugly", [-1, -1, -1, -0.5, -1, -1]),
        ("odd", [-1.5] * 6),
    ],
)
def test_log_odds_are_the_bias_and_the_weights_of_words_pairs_and_parts(text: str, want: list[float]) -> None:
    assert tiny().odds(text) == pytest.approx(want)


def test_parts_of_a_word_mark_where_it_begins_and_ends() -> None:
    assert parts("cat") == ["<ca", "cat", "at>", "<cat", "cat>"]


def test_weights_of_another_version_are_refused() -> None:
    with pytest.raises(ValueError, match="another version"):
        parse(dump({**HEAD, "categories": ["SPAM"]}, [[], [], [], []]))


def test_what_is_shipped_is_small_and_read_once() -> None:
    assert shipped() is shipped()
    size = len(resources.files("tidegate.filtering.safety").joinpath("weights.xz").read_bytes())
    assert size < 1_000_000


def test_what_is_remembered_of_words_is_bounded() -> None:
    model = tiny()
    for at in range(0, 200_000, 1000):
        model.odds(" ".join(f"w{chr(97 + at % 26)}{n:x}q" for n in range(at, at + 1000)))
    assert len(model._canonical) <= 1 << 15
    assert len(model._scores) <= 1 << 15
