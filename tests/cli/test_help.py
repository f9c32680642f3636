"""What a person reads first: every command and every flag says what it is for, as it is written, and quickly."""

from __future__ import annotations

import subprocess
import sys
from functools import reduce

import pytest
import typer
from tidegate import __version__
from tidegate.cli import app
from typer.testing import CliRunner

COMMANDS = [
    [],
    ["serve"],
    ["envoy-config"],
    ["demo"],
    ["filter"],
    ["reveal"],
    ["audit", "reveals"],
    ["policy"],
    ["policy", "check"],
    ["policy", "schema"],
    ["policy", "explain"],
    ["policy", "test"],
    ["keys"],
    ["keys", "create"],
    ["keys", "list"],
    ["keys", "rotate"],
    ["keys", "revoke"],
    ["keys", "expire"],
    ["tokens"],
    ["tokens", "revoke"],
    ["tokens", "list"],
    ["signing-keys"],
    ["signing-keys", "create"],
    ["signing-keys", "jwks"],
    ["limits"],
    ["limits", "show"],
    ["limits", "reset"],
]
HEAVY = ("grpc", "pydantic", "redis", "re2", "uvloop", "structlog", "phonenumbers", "httpx")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_that_is_not_cut_off(command: list[str]) -> None:
    result = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "80"})
    assert result.exit_code == 0
    lists = ("[ARGS]...", "[FILE]...", "{FILE}...", "{CASES}...")
    assert "..." not in reduce(lambda text, one: text.replace(one, ""), lists, result.stdout)
    assert "…" not in result.stdout


def test_every_flag_says_what_it_is_for() -> None:
    group = typer.main.get_command(app)
    silent = [f"{path} {flag.name}" for path, flag in _flags(group, "tidegate") if not flag.help and not flag.hidden]
    assert silent == []


def test_the_version_is_told() -> None:
    assert CliRunner().invoke(app, ["--version"]).stdout == f"{__version__}\n"


def test_brackets_stay() -> None:
    assert "[v6]:port" in CliRunner().invoke(app, ["envoy-config", "--help"]).stdout


def test_help_waits_for_no_library() -> None:
    program = f"import sys, tidegate.cli; print(*(name for name in {HEAVY} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


def _flags(command, path):
    for child in getattr(command, "commands", {}).values():
        yield from _flags(child, f"{path} {child.name}")
    if not hasattr(command, "commands"):
        yield from ((path, parameter) for parameter in command.params if parameter.name != "help")
