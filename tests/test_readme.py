"""What the pages show is what there is: the policy compiles, commands and flags exist, links lead somewhere.

A block of a page that is marked `sh run` is run as it stands, beside a policy and the files that it names.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import pytest
import typer
from tidegate.cli import app
from tidegate.clock import SystemClock
from tidegate.policy import parse_policy
from tidegate.telemetry import Telemetry
from typer.testing import CliRunner

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def shell(page: Path) -> list[list[str]]:
    """The commands of a page, as words, without what is asked of the shell around them."""
    text = "".join(re.findall(r"```sh(?: run)?\n(.*?)```", page.read_text(), re.DOTALL)).replace("\\\n", "")
    lines = [re.sub(r"^([A-Z_]+=\S+ )+", "", line.partition(" > ")[0]) for line in text.splitlines()]
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def commands() -> list[list[str]]:
    return [words for words in shell(ROOT / "README.md") if words[0] == "tidegate"]


def test_the_policy_that_is_walked_through_compiles() -> None:
    (policy,) = blocks("yaml")
    assert [endpoint.name for endpoint in parse_policy(policy, file="README.md").endpoints] == ["chat"]


def test_commands_are_shown() -> None:
    assert {words[1] for words in commands()} == {"policy", "keys", "filter", "serve", "envoy-config", "limits"}


OURS = sorted({shlex.join(words) for page in PAGES for words in shell(page) if words[0] == "tidegate"})


@pytest.mark.parametrize("line", OURS)
def test_the_commands_and_their_flags_exist(line: str) -> None:
    command = typer.main.get_command(app)
    rest = shlex.split(line)[1:]
    while hasattr(command, "commands"):
        command = command.commands[rest.pop(0)]
    known = {flag for parameter in command.params for flag in parameter.opts}
    assert {word.partition("=")[0] for word in rest if word.startswith("--")} <= known


RUN_BY_OTHERS = {"kubectl", "docker", "helm"}
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
OTHERS = {"make", "pip", "curl", "head", "export", "openssl", "istioctl"} | RUN_BY_OTHERS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_other_commands_are_known_ones_and_name_files_that_exist(page: Path) -> None:
    for words in shell(page):
        if words[:2] == [".venv/bin/python", "-m"]:
            assert find_spec(words[2]), words
            continue
        assert words[0] in OTHERS | {"tidegate"}, words
        if words[0] == "make":
            assert {word for word in words[1:] if "=" not in word} <= TARGETS, words
        if words[0] in RUN_BY_OTHERS:
            named = [
                after for flag, after in pairwise(words) if flag in {"--filename", "--kustomize", "--file", "--values"}
            ]
            assert all((ROOT / name).exists() for name in named), words


ADA = {"subject": "ada", "tenant": "acme", "tier": "free", "roles": ["analyst"]}
REQUEST = {
    "method": "POST",
    "host": "models.example.com",
    "path": "/v1/chat/completions",
    "body": {"model": "small"},
}
RUN = [
    pytest.param(page, block, id=f"{page.name}-{number}")
    for page in PAGES
    for number, block in enumerate(re.findall(r"```sh run\n(.*?)```", page.read_text(), re.DOTALL))
]


@pytest.mark.parametrize(("page", "block"), RUN)
def test_a_block_that_is_marked_runs(page: Path, block: str, tmp_path: Path) -> None:
    (policy,) = blocks("yaml")
    (tmp_path / "policy.yaml").write_text(policy)
    (tmp_path / "pepper").write_text("made up and of no use anywhere")
    (tmp_path / "request.json").write_text(json.dumps({"principal": ADA, "request": REQUEST}))
    for name in ("cases.yaml", "more.yaml"):
        case = {"name": "a free analyst may use the small model", "principal": "ada", "expect": {"effect": "allow"}}
        (tmp_path / name).write_text(json.dumps({"principals": {"ada": ADA}, "request": REQUEST, "cases": [case]}))
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TIDEGATE_")}
    clean["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{clean['PATH']}"
    result = subprocess.run(
        ["bash", "-euc", block], cwd=tmp_path, env=clean, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_tests_that_pages_name_exist() -> None:
    named = [
        (page.name, *found)
        for page in PAGES
        for found in re.findall(r"`(tests/[\w/]+(?:\.py)?)(?:::(\w+))?`", page.read_text())
    ]
    assert named
    for page, path, test in named:
        assert (ROOT / path).exists(), (page, path)
        if test:
            assert re.search(rf"^(async )?def {test}\(", (ROOT / path).read_text(), re.MULTILINE), (page, path, test)


def test_metrics_that_pages_name_exist() -> None:
    samples = Telemetry(clock=SystemClock()).registry.collect()
    known = {name for metric in samples for name in (metric.name, f"{metric.name}_total")}
    for page in PAGES:
        named = set(re.findall(r"`(tidegate_(?!client)[a-z_]+)[{`]", page.read_text()))
        assert named <= known, (page.name, named - known)


def test_log_lines_that_the_page_on_operations_names_are_written() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    (table,) = re.findall(r"\| what fails \|.*?\n\n", page, re.DOTALL)
    cells = [row.strip("|").split("|")[3] for row in table.strip().splitlines()[2:]]
    envoys = {"ext_authz_error", "ext_proc_error_*"}
    lines = {line for cell in cells for line in re.findall(r"`([^`]+)`", cell)} - envoys
    written = "".join(module.read_text() for module in (ROOT / "service" / "tidegate" / "telemetry").glob("*.py"))
    assert len(lines) > 8
    assert {line for line in lines if f'"{line}"' not in written} == set()


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
