"""JSON Schemas in files: relative to the policy, part of its version, watched, and refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tidegate.errors import PolicyError
from tidegate.policy import load_policy
from tidegate.policy.load import examine_file
from tidegate.policy.schemas import MAX_BYTES

POLICY = """
version: 1
tenants: {acme: {}}
endpoints:
  extract:
    owner: acme
    match: {hosts: "*", path: /extract, methods: [POST]}
    structure: {answer: {schema_file: schemas/answer.json}}
"""


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    (tmp_path / "schemas").mkdir()
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY)
    return file


def write(policy: Path, content: str) -> Path:
    file = policy.parent / "schemas" / "answer.json"
    file.write_text(content)
    return file


def test_a_schema_is_compiled_from_its_file(policy: Path) -> None:
    file = write(policy, '{"type": ["object", "null"], "properties": {"a": {"const": null}}}')
    outcome = examine_file(policy)
    structure = outcome.unwrap().structures["extract"]
    assert structure is not None
    assert structure.answer is not None
    assert structure.answer.schema.fault_of_text('{"a": null}') == ""
    assert structure.answer.schema.fault_of_text('{"a": 1}') == "schema/properties/a/const"
    assert file in outcome.files


def test_another_schema_is_another_version(policy: Path) -> None:
    versions = []
    for content in ('{"type": "object"}', '{ "type":"object" }', '{"type": "array"}'):
        write(policy, content)
        versions.append(load_policy(policy).version)
    assert versions[0] == versions[1] != versions[2]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ('{"type": "object"', "is not JSON: json"),
        ('{"type": "object", "type": "array"}', "is not JSON: json_duplicate_key"),
        ("[" * 300 + "]" * 300, "is not JSON: json_depth"),
        ('{"$ref": "file:///etc/hostname"}', "is not a JSON Schema: Resource 'file:///etc/hostname'"),
        ('{"$ref": "answer2.json"}', "is not a JSON Schema: Resource 'answer2.json'"),
        (json.dumps({"description": "x" * MAX_BYTES}), "is larger than 1024 KiB"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_line_and_key(policy: Path, content: str, why: str) -> None:
    file = write(policy, content)
    with pytest.raises(PolicyError) as caught:
        load_policy(policy)
    (problem,) = caught.value.problems
    assert str(problem).startswith(f"{policy}:8: endpoints.extract.structure.answer.schema_file: {str(file)!r} {why}")
