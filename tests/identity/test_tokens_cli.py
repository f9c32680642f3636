"""`tidegate tokens`: what is revoked from the command line, in a file and in a real Redis."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

import pytest
from tidegate.cli import app
from typer.testing import CliRunner


@pytest.mark.parametrize("where", ["file", "store"])
def test_the_command_adds_and_lists(where: str, tmp_path: Path, redis_url: str) -> None:
    place = ["--file", str(tmp_path / "revoked.yaml")] if where == "file" else ["--store", redis_url]
    name = secrets.token_hex(4)
    for arguments in (["t-" + name], ["--subject", "s-" + name, "--tenant", "acme", "--keep", "never"]):
        done = CliRunner().invoke(app, ["tokens", "revoke", *arguments, *place])
        assert done.exit_code == 0, done.output
    shown = CliRunner().invoke(app, ["tokens", "list", *place])
    rows = [json.loads(line) for line in shown.stdout.splitlines() if name in line]
    by_subject, by_token = sorted(rows, key=lambda row: "token" in row)
    assert by_subject.keys() == {"subject", "tenant", "before"}
    assert by_token.keys() == {"token", "until"}


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        (["t1"], "where the list is: give --file or --store"),
        (["t1", "--file", "f", "--store", "redis://127.0.0.1"], "where the list is: give --file or --store"),
        (["t1", "--store", "memory://"], "keeps nothing that another process could read"),
        (["t1", "--store", "nonsense"], "--store: "),
        (["--file", "f"], "give token, or before"),
        (["t1", "--subject", "ada", "--file", "f"], "a token is named by itself, or with its issuer"),
        (["t1", "--before", "2030-01-01T00:00:00Z", "--file", "f"], "--before is for all tokens of somebody"),
        (["--subject", "ada", "--before", "noon", "--file", "f"], "--before: 'noon' is not ISO 8601 with a zone"),
        (["t1", "--keep", "long", "--file", "f"], "--keep: must be a duration"),
        (["t1", "--file", "/nowhere/f"], "/nowhere: No such file or directory"),
    ],
)
def test_the_command_says_what_is_wrong(arguments: list[str], wrong: str, tmp_path: Path) -> None:
    arguments = [str(tmp_path / "f") if argument == "f" else argument for argument in arguments]
    done = CliRunner().invoke(app, ["tokens", "revoke", *arguments])
    assert (done.exit_code, done.stdout) == (2, "")
    assert wrong in done.stderr
    assert not (tmp_path / "f").exists()
