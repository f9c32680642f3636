"""A schema is compiled, or refused with one sentence; a document is judged strictly, and in bounded time."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from tidegate.filtering.structure.schema import MAX_DEPTH, Schema

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"$ref": "#/$defs/age"}},
    "required": ["name"],
    "additionalProperties": False,
    "$defs": {"age": {"type": "integer", "minimum": 0}},
}
TREE = {
    "$defs": {
        "node": {
            "anyOf": [
                {"type": "object", "properties": {"a": {"$ref": "#/$defs/node"}, "b": {}}, "required": ["x"]},
                {"type": "object", "properties": {"a": {"$ref": "#/$defs/node"}, "c": {}}, "required": ["y"]},
            ]
        }
    },
    "$ref": "#/$defs/node",
}


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ({"type": "objct"}, "at /type"),
        ({"properties": {"a": {"minimum": "x"}}}, "at /properties/a/minimum"),
        ({"$ref": "https://example.com/x.json"}, "Retrieval is disabled"),
        ({"$ref": "file:///etc/hostname"}, "Retrieval is disabled"),
        ({"$ref": "other.json"}, "other.json"),
        ({"$ref": "#/$defs/missing"}, "/$defs/missing"),
        ({"$dynamicRef": "https://example.com/x#a"}, "example.com"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "is not of draft 2020-12"),
        ({"$defs": {"a": {"$schema": "https://example.com/own"}}}, "is not of draft 2020-12"),
        ({"pattern": "(?=a)b"}, "at /pattern"),
        ({"pattern": r"(a)\1"}, "at /pattern"),
        ({"format": "nonsense"}, "Unknown format"),
        ([1], "is not a JSON Schema"),
        ("true", "is not a JSON Schema"),
    ],
)
def test_what_is_no_schema_is_refused_with_one_sentence(document: Any, why: str) -> None:
    with pytest.raises(ValueError, match=r"^is not") as caught:
        Schema(document)
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"name": "Ann", "age": 3}', ""),
        ('{"name": "Ann", "age": "3"}', "schema/$defs/age/type"),
        ('{"age": 3}', "schema/required"),
        ('{"name": "Ann", "extra": 1}', "schema/additionalProperties"),
        ('{"name": "Ann", "name": "Bob"}', "json_duplicate_key"),
        ('{"name": "Ann", "n\\u0061me": 7}', "json_duplicate_key"),
        ('{"name": "Ann"', "json"),
        ('{"name": "Ann"} {}', "json"),
        ('```json\n{"name": "Ann"}\n```', "json"),
        ("", "json"),
        ('{"name": "\\ud800"}', "json"),
        ('{"\\ud800": 1}', "json"),
        ('{"name": NaN}', "json_number"),
        ('{"name": 1e999}', "json_number"),
        ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "json_depth"),
        ("[" * 200_000, "json_depth"),
        ("9" * 10_000, "json"),
        ("[]", "schema/type"),
    ],
)
def test_a_text_matches_or_the_fault_says_where_in_the_schema(text: str, fault: str) -> None:
    assert Schema(PERSON).fault_of_text(text) == fault


def test_formats_are_checked() -> None:
    assert Schema({"format": "date"}).fault("2026-13-01") == "schema/format"
    assert Schema({"format": "date"}).fault("2026-12-01") == ""


@pytest.mark.parametrize("leaf", [1, {"zz": 1}, {"x": 1, "y": 1, "a": 1}])
def test_a_document_does_not_make_a_schema_of_itself_dear(leaf: Any) -> None:
    for _ in range(MAX_DEPTH - 2):
        leaf = {"a": leaf, "b": 1}
    started = time.process_time()
    assert Schema(TREE).fault(leaf) == "schema"
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    ("schema", "document"),
    [
        ({"pattern": "^(a+)+$"}, "a" * 1_000_000 + "b"),
        ({"uniqueItems": True}, [{"a": n} for n in range(100_000)] + [{"a": 0}]),
        ({"items": {"anyOf": [{"type": "string"}, {"type": "null"}]}}, list(range(300_000))),
        ({"additionalProperties": {"type": "string"}}, {str(n): n for n in range(200_000)}),
        ({"contains": {"const": "x"}, "minContains": 2}, ["y"] * 300_000),
    ],
)
def test_a_mib_of_hostile_documents_is_judged_in_less_than_a_second(schema: Any, document: Any) -> None:
    compiled = Schema(schema)
    started = time.process_time()
    assert compiled.fault(document).startswith("schema/")
    assert time.process_time() - started < 1


def test_a_schema_that_leads_back_to_itself_tells_no_place() -> None:
    for document in (
        {"properties": {"a": {"$ref": "#"}}, "required": ["a"]},
        {"$defs": {"a": {"items": {"$ref": "#/$defs/b"}}, "b": {"items": {"$ref": "#/$defs/a"}}}, "required": ["a"]},
        {"$defs": {"a": {"properties": {"b": {"items": {"$ref": "#/$defs/a/properties/b"}}}}}, "required": ["a"]},
        {"$dynamicAnchor": "n", "properties": {"a": {"$dynamicRef": "#n"}}, "required": ["a"]},
        {"$defs": {"n": {"$anchor": "n", "required": ["a"]}}, "$ref": "#n"},
    ):
        assert Schema(document).fault({}) == "schema"


_KEYS = st.sampled_from(["name", "age", "extra"])
_DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-2, 2) | st.text("ab", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(
    _DOCUMENTS,
    st.sampled_from([PERSON, TREE, {**PERSON, "type": ["array", "object"], "items": {"$ref": "#/$defs/age"}}]),
)
def test_another_validator_says_the_same(document: Any, schema: dict[str, Any]) -> None:
    assert (Schema(schema).fault_of_text(json.dumps(document)) == "") == Draft202012Validator(schema).is_valid(document)
