"""`tidegate policy` on files and on the schema."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tidegate.cli.policy import app
from tidegate.policy.json_schema import json_schema
from typer.testing import CliRunner

from tests.policy.cases import valid


@pytest.fixture
def good(tmp_path: Path) -> Path:
    (tmp_path / "good.yaml").write_text(valid("every key"))
    return tmp_path / "good.yaml"


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    (tmp_path / "bad.yaml").write_text("version: 1\ntears: {}\ntenants: 3\n")
    return tmp_path / "bad.yaml"


def test_good_files_are_summed_up(good: Path) -> None:
    result = CliRunner().invoke(app, ["check", str(good)])
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{good}: ok (version ")
    assert result.stdout.endswith(", 3 endpoints, 2 tenants, 2 tiers, 3 rulesets, no credential needed at open)\n")
    assert result.stderr == ""


def test_bad_files_give_every_problem_and_do_not_stop_the_others(good: Path, bad: Path) -> None:
    result = CliRunner().invoke(app, ["check", str(bad), str(good), str(bad.parent / "none.yaml")])
    assert result.exit_code == 1
    assert result.stdout.count(": ok (") == 1
    assert result.stderr.splitlines() == [
        f"{bad}:2: tears: unknown key 'tears'; did you mean 'tiers'?",
        f"{bad}:3: tenants: must be a mapping, not 3",
        f"{bad.parent / 'none.yaml'}:1: (document): cannot be read: No such file or directory",
    ]


def test_check_wants_a_file() -> None:
    assert CliRunner().invoke(app, ["check"]).exit_code == 2


def test_schema_is_printed_as_json() -> None:
    result = CliRunner().invoke(app, ["schema"])
    assert result.exit_code == 0
    assert json.loads(result.stdout) == json_schema()
