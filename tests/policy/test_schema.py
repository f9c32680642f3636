"""The published JSON Schema says what the loader does, as far as a schema can."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
import yaml
from tidegate.errors import PolicyError
from tidegate.policy import parse_policy
from tidegate.policy.document import read
from tidegate.policy.durations import duration_text, parse_duration
from tidegate.policy.json_schema import json_schema
from tidegate.policy.words import entities

from tests.policy.cases import cases, valid

SCHEMA = json_schema()
CHECKER = jsonschema.Draft202012Validator(SCHEMA)
# Faults that are not of the document's shape, but of its notation or of what its parts say of each other.
BEYOND = {
    "requests checked against lists that their endpoint has not",
    "names by pipelines that cannot be had",
    "names by a package that is no pipeline",
    "kinds of names that the chosen model does not know",
    "names that lead nowhere",
    "an owner that leads nowhere, and no complaint that follows from it",
    "a grant of another tenant's endpoint",
    "a deny of a model that no tier may use",
    "context tokens that are shown for longer than they are good, with keys that are not there",
    "a signing key that is not there",
    "an audience of tokens that nobody makes",
    "endpoints that overlap",
    "limits of one name",
    "issuers that could be mistaken for each other, or give no tenant",
    "an issuer whose tokens could never be used",
    "shared secrets that could be mistaken for each other, or are not there",
    "introspection whose answers could never be used",
    "introspections that could be asked about each other's tokens",
    "introspections for nothing in particular",
    "introspection with two secrets, or none",
    "workloads",
    "workloads that lead nowhere",
    "proxies that are believed about nobody",
    "endpoints that anybody may call without limit",
    "an endpoint for an audience that no token can have",
    "duplicate keys",
    "an endpoint that would let responses pass the floor unread",
    "an endpoint whose fields would pass the floor unread",
    "anchors, aliases and tags",
    "paths",
    "time zones",
    "limits in money without prices",
    "prices of models that no endpoint allows",
    "limits of single callers that would take the floor away, are named twice, or have no price",
    "models without a price where a limit in money reaches",
    "a reserve that leaves nothing to others",
    "markup that would be left out",
    "an endpoint that would let links lead where the floor does not",
    "system prompts that find nothing",
    "endpoints without the prompt that their rulesets look for",
    "lists of nothing, lists that are not there, and lists for what nothing finds",
    "lists that are empty, and endpoints without the list that their rulesets look for",
    "heartbeats that are no heartbeats",
    "content safety with two keys, or none",
    "content safety without what was asked for",
}


def test_it_is_a_schema_of_the_draft_that_it_names() -> None:
    CHECKER.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert SCHEMA["$id"] == "urn:tidegate:policy:1"


@pytest.mark.parametrize("case", cases("policy_valid.yaml"), ids=lambda case: str(case["name"]))
def test_good_documents_fit_it(case: dict[str, Any]) -> None:
    CHECKER.validate(read(case["document"], "p").data)


def test_the_demos_policy_fits_it() -> None:
    CHECKER.validate(yaml.safe_load((files("tidegate.demo") / "policy.yaml").read_text()))


@pytest.mark.parametrize(
    "case",
    [case for case in cases("policy_errors.yaml") if case["name"] not in BEYOND],
    ids=lambda case: str(case["name"]),
)
def test_documents_of_the_wrong_shape_do_not(case: dict[str, Any]) -> None:
    tree = read(case["document"], "p")
    assert not tree.complete or not CHECKER.is_valid(tree.data)


def objects(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        if "properties" in node:
            yield node
        for child in node.values():
            yield from objects(child)
    elif isinstance(node, list):
        for child in node:
            yield from objects(child)


def test_every_default_may_be_written() -> None:
    defaults = [
        (value["default"], {**value, "$defs": SCHEMA["$defs"]})
        for part in objects(SCHEMA)
        for value in part["properties"].values()
        if "default" in value
    ]
    assert len(defaults) > 30
    for default, schema in defaults:
        jsonschema.Draft202012Validator(schema).validate(default)


def test_every_key_is_described() -> None:
    found = list(objects(SCHEMA))
    assert len(found) >= 18
    for part in found:
        assert part["description"]
        assert part["additionalProperties"] is False
        for name, value in part["properties"].items():
            assert value.get("description", "").endswith("."), f"{part['title']}.{name}"


def test_editors_are_offered_the_kinds_of_value() -> None:
    assert SCHEMA["$defs"]["Rule"]["properties"]["detect"]["items"]["anyOf"][0]["enum"] == sorted(entities())


def test_no_key_may_be_null() -> None:
    assert '"null"' not in str(SCHEMA).replace("'", '"')
    with pytest.raises(PolicyError):
        parse_policy(valid("the smallest") + "tiers:\n")


@pytest.mark.parametrize(
    ("seconds", "text"), [(30.0, "30s"), (90.0, "90s"), (120.0, "2m"), (3600.0, "1h"), (86400.0, "1d")]
)
def test_a_duration_is_written_as_it_is_read(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text
    assert parse_duration(text) == seconds
