"""Whatever a person types by mistake is answered by a line, and never by a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from tidegate.cli import app
from typer.testing import CliRunner

# Of `serve` and `demo` only what they refuse before they begin: tests of their own start them.
STARTS = ("serve", "demo")


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*path, name))
    if not hasattr(group, "commands") and path[0] not in STARTS:
        yield path, group


COMMANDS = dict(commands(typer.main.get_command(app)))
WRONG = {
    "nothing there": "nowhere/at/all",
    "any bytes": "bytes",
    "another document": "list.yaml",
    "nested beyond measure": "deep.json",
    "a record that is none": "log.jsonl",
    "nothing": "",
    "no UTF-8": "\ud800",
    "a number beyond all": "99999999d",
    "a store that is away": "redis://:made-up-pw@127.0.0.1:1",
    "a cluster that is away": "redis+cluster://127.0.0.1:1",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "bytes").write_bytes(bytes(range(256)))
    (tmp_path / "list.yaml").write_text("- 1\n")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    record = '{"at":"x","kind":"decision","prev":"","seq":1,"writer":"w"}'
    (tmp_path / "log.jsonl").write_text(f'{{"hash":"{"0" * 64}","record":{record}}}\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def arguments(command: Any, wrong: str, *, all_of_them: bool) -> list[str]:
    """Each required parameter, or each of all, given so."""
    given: list[str] = []
    for parameter in command.params:
        if parameter.name == "help" or not (parameter.required or all_of_them):
            continue
        if parameter.param_type_name == "argument":
            given.append(wrong)
        elif not getattr(parameter, "is_flag", False):
            given += [parameter.opts[0], wrong]
    return given


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_no_command_answers_with_a_traceback(path: tuple[str, ...], folder: Path) -> None:
    for what, wrong in WRONG.items():
        for all_of_them in (False, True):
            words = [*path, *arguments(COMMANDS[path], wrong, all_of_them=all_of_them)]
            result = CliRunner(env={"TIDEGATE_KEY_PEPPER": "made up, of thirty-two bytes and more"}).invoke(app, words)
            assert result.exception is None or isinstance(result.exception, SystemExit), (what, words)
            assert result.exit_code in (0, 1, 2), (what, words)
            assert result.exit_code == 0 or result.output.strip(), (what, words)
