"""Members of an object, found and taken out by their place: the rest of the text keeps its bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tidegate.errors import MalformedBody
from tidegate.filtering.formats.json_text import members, without

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=12,
)
_OBJECTS = st.dictionaries(st.text(max_size=6), _VALUES, max_size=5)
_FORMS = st.sampled_from([(None, (", ", ": ")), (None, (",", ":")), (1, (" ,", " : ")), (None, (" , ", "\t:\n"))])


@settings(deadline=None)
@given(_OBJECTS, _FORMS, st.booleans(), st.sampled_from(["", " \n"]))
def test_every_member_is_found_where_it_stands(
    document: dict[str, Any], form: tuple[Any, Any], ascii_: bool, before: str
) -> None:
    text = before + json.dumps(document, indent=form[0], separators=form[1], ensure_ascii=ascii_) + before
    found = members(text, len(before))
    assert {name: json.loads(text[member.value : member.end]) for name, member in found.items()} == document
    assert [json.loads(text[m.start : m.value].rstrip(" \t\n:")) for m in found.values()] == list(document)
    for name, member in found.items():
        assert json.loads(without(text, member)) == {key: value for key, value in document.items() if key != name}


@pytest.mark.parametrize("text", ['{"a":1,"a":2}', '{"a":1,"\\u0061":2}'])
def test_a_key_that_stands_twice_is_malformed(text: str) -> None:
    with pytest.raises(MalformedBody):
        members(text, 0)


def test_keys_of_others_do_not_matter() -> None:
    assert list(members('[{"a":{"a":1,"a":2},"b":[{"a":1}]},{"c":1}]', 1)) == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ('{"u":null}', "{}"),
        ('{ "u" : null , "a":1.0}', '{  "a":1.0}'),
        ('{"a":1.0 ,\n "u":[1,2]}', '{"a":1.0 }'),
        ('{"a":1,"u":"x,}", "b":2}', '{"a":1, "b":2}'),
    ],
)
def test_one_comma_goes_with_a_member(text: str, left: str) -> None:
    assert without(text, members(text, 0)["u"]) == left
