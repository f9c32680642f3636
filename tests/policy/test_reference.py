"""docs/policy.md is what the schema says, and says all of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tidegate.policy.json_schema import json_schema

from tests import policy_reference


def test_the_page_is_what_the_schema_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert policy_reference.main([]) == 0, capsys.readouterr().err


def test_every_part_and_every_key_is_there() -> None:
    page, schema = policy_reference.reference(), json_schema()
    for name, part in {"Document": schema, **schema["$defs"]}.items():
        section = page.partition(f"## {name}\n")[2].partition("\n## ")[0]
        for key in part["properties"]:
            assert f"\n| `{key}` | " in section, f"{name}.{key}"


def test_a_page_that_is_old_is_told_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(policy_reference, "FILE", tmp_path / "policy.md")
    assert policy_reference.main([]) == 1
    assert "python -m tests.policy_reference --write" in capsys.readouterr().err
    assert policy_reference.main(["--write"]) == 0
    assert (tmp_path / "policy.md").read_text() == policy_reference.reference()
