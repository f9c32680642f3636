"""A document in pieces is broken at the first character that no valid document could have there, and never before."""

from __future__ import annotations

import json
import time
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate.filtering.structure.partial_json import PartialJson

from tests.filtering.formats.texts import PLACES, write


def states(text: str, places: list[int]) -> str:
    progress = PartialJson()
    edges = sorted({place % (len(text) + 1) for place in places} | {0, len(text)})
    for start, end in pairwise(edges):
        progress.feed(text[start:end])
    return progress.finish()


@pytest.mark.parametrize(
    "text",
    [
        '{"a": [1, -2.5e+3, true, null, "x\\u0041\\n"], "b": {}}',
        "[]",
        '""',
        "0",
        "-1",
        "null",
        ' {"a":1}\n ',
        "1e5",
        "[[],{}]",
    ],
)
def test_what_is_valid_is_done_however_it_is_cut(text: str) -> None:
    json.loads(text)
    for size in range(1, len(text) + 1):
        progress = PartialJson()
        for start in range(0, len(text), size):
            assert progress.feed(text[start : start + size]) != "broken"
        assert progress.finish() == "done"
        assert progress.text == text


@pytest.mark.parametrize(
    ("text", "sound"),
    [
        ("Sure", 0), ("{]", 1), ('{"a" 1', 5), ('{"a":1,}', 7), ("[1,]", 3), ("[,", 1), ('{1', 1), ('{"a":1 "b"', 7),
        ("tru ", 3), ("trux", 3), ("01", 1), ("1.e", 2), ("-x", 1), ("+1", 0), ("[1 2", 3), ('{"a":1}x', 7),
        ('{"a":1}{', 7),
        ('"a\n', 2), ('"\\x', 2), ('"\\u00g', 5), ("```", 0), ("'a'", 0), ("NaN", 0), ("nulll", 4), ("}", 0), (":", 0),
        ("[" * 101, 100), ('{"a":}', 5), ('{"a"}', 4), ("[true1", 5), ("1e+e", 3), ("9" * 500, 400),
    ],
)  # fmt: skip
def test_what_cannot_become_valid_is_broken_at_once(text: str, sound: int) -> None:
    progress = PartialJson()
    for char in text[:sound]:
        assert progress.feed(char) != "broken"
    end = progress.feed(text[sound]) if sound < len(text) else progress.finish()
    assert "broken" in (end, progress.feed(" "))
    assert states(text, []) == "broken"


@pytest.mark.parametrize("text", ["", " ", "{", '{"a', '"\\', '"\\u00', "[1", "tru", "-", "1.", "1e", "1e+"])
def test_what_is_not_over_is_broken_at_the_end(text: str) -> None:
    assert states(text, []) == "broken"


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(_VALUES, st.integers(0, 999), PLACES)
def test_every_valid_document_is_done(value: Any, seed: int, places: list[int]) -> None:
    try:
        text = write(value, seed)
        json.loads(text)
    except ValueError:
        return
    assert states(text, places) == "done"


@given(st.text(alphabet='{}[]:,"\\ \n012-.eEtrufalsn', max_size=14), PLACES)
def test_the_end_is_as_a_parser_says(text: str, places: list[int]) -> None:
    try:
        json.loads(text, parse_constant=lambda word: 1 / 0)
        valid = True
    except (ValueError, ZeroDivisionError):
        valid = False
    assert (states(text, places) == "done") == valid
    assert (states(text, []) == "done") == valid


@pytest.mark.parametrize(
    "text", ['"' + "a" * 400_000, "[" + "1," * 200_000, '{"a":"' + "\\u0041" * 70_000, " " * 400_000]
)
def test_pieces_of_one_character_cost_no_more_than_one_text(text: str) -> None:
    started = time.process_time()
    progress = PartialJson()
    for char in text[:200_000]:
        progress.feed(char)
    assert progress.state == "open"
    assert time.process_time() - started < 2
