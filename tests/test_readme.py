"""What the pages show is what there is: the policy compiles, commands and flags exist, links lead somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer
from tidegate.cli import app
from tidegate.policy import parse_policy

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands() -> list[list[str]]:
    lines = "".join(blocks("sh")).replace("\\\n", "").splitlines()
    return [shlex.split(line.partition(" > ")[0], comments=True) for line in lines if line.startswith("tidegate ")]


def test_the_policy_that_is_walked_through_compiles() -> None:
    (policy,) = blocks("yaml")
    assert [endpoint.name for endpoint in parse_policy(policy, file="README.md").endpoints] == ["chat"]


def test_commands_are_shown() -> None:
    assert {words[1] for words in commands()} == {"policy", "keys", "serve", "envoy-config", "limits"}


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_the_commands_and_their_flags_exist(words: list[str]) -> None:
    command = typer.main.get_command(app)
    rest = words[1:]
    while hasattr(command, "commands"):
        command = command.commands[rest.pop(0)]
    known = {flag for parameter in command.params for flag in parameter.opts}
    assert {word for word in rest if word.startswith("--")} <= known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target
