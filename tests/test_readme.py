"""What the pages show is what there is: the policy compiles, commands and flags exist, links lead somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer
from tidegate.cli import app
from tidegate.policy import parse_policy
from typer.testing import CliRunner

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
    assert {words[1] for words in commands()} == {"policy", "keys", "filter", "serve", "envoy-config", "limits"}


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_the_commands_and_their_flags_exist(words: list[str]) -> None:
    command = typer.main.get_command(app)
    rest = words[1:]
    while hasattr(command, "commands"):
        command = command.commands[rest.pop(0)]
    known = {flag for parameter in command.params for flag in parameter.opts}
    assert {word for word in rest if word.startswith("--")} <= known


@pytest.mark.parametrize(("number", "status"), [(0, 0), (1, 0), (2, 1)])
def test_the_filter_does_what_the_page_says(
    number: int, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (policy,) = blocks("yaml")
    (tmp_path / "policy.yaml").write_text(policy)
    (tmp_path / "answer.json").write_text('{"text": "Write to bob@example.com."}')
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("Write to bob@example.com.")
    words = [words for words in commands() if words[1] == "filter"][number]
    words[-1:] = [str(path.relative_to(tmp_path)) for path in tmp_path.glob(words[-1])]
    result = CliRunner().invoke(app, words[1:])
    assert result.exit_code == status
    if status:
        assert "docs/a.md:1:10: EMAIL (by email), redact: [EMAIL]" in result.stdout
    else:
        assert result.stdout == '{"text": "Write to b**@*******.com."}'
        assert ("answer.json: /text: EMAIL (by email), mask: b**@*******.com" in result.stderr) == (number == 0)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"`[^`\n]*`", "", page.read_text())
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", prose):
        assert (page.parent / target).exists(), target
