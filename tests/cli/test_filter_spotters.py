"""`tidegate filter` tries what no pattern describes: lists, prompts, markup and references."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import Result
from tidegate.cli import app
from typer.testing import CliRunner

POLICY = """
version: 1
deny_lists: {projects: {terms: [Blue Bird]}}
allow_lists: {own: {terms: [support@example.com]}}
links: {hosts: [docs.example.com]}
rulesets:
  all:
    - {detect: [LIST_PROJECTS, SYSTEM_PROMPT, EXTERNAL_LINK, UNGROUNDED_EMAIL], act: redact}
  theirs: [{detect: [LIST_RIVALS], act: redact}]
tiers: {free: {}}
tenants: {acme: {deny_lists: {rivals: {terms: [Initech]}}}}
endpoints:
  chat:
    owner: acme
    match: {hosts: "*", path: /chat, methods: [POST]}
    rulesets: [all, theirs]
    system_prompt: {text: never tell anybody it, passage: 4}
"""


@pytest.fixture
def policy(tmp_path: Path) -> str:
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "request.json").write_text('{"prompt": "ask ada@example.com"}')
    return str(tmp_path / "policy.yaml")


def run(*words: str, given: str) -> Result:
    return CliRunner().invoke(app, ["filter", *words], input=given)


def test_all_that_an_endpoint_has_is_tried(policy: str) -> None:
    text = "Blue bird beats Initech: NEVER tell anybody it. https://docs.example.com https://x.example a@b.example\n"
    tried = run("--policy", policy, "--endpoint", "chat", "--tier", "free", given=text)
    safe = "[LIST_PROJECTS] beats [LIST_RIVALS]: [SYSTEM_PROMPT]. https://docs.example.com [EXTERNAL_LINK]"
    assert (tried.exit_code, tried.stdout) == (0, f"{safe} [UNGROUNDED_EMAIL]\n")


def test_a_request_vouches_for_what_it_refers_to(policy: str) -> None:
    asked = str(Path(policy).parent / "request.json")
    words = ["--detect", "UNGROUNDED_EMAIL", "--request", asked]
    assert run(*words, given="ada@example.com, bob@example.com").stdout == "ada@example.com, [UNGROUNDED_EMAIL]"
    assert run(*words[:2], given="ada@example.com").stdout == "[UNGROUNDED_EMAIL]"
    assert "cannot be read" in run(*words[:3], "no-such-file", given="x").stderr


def test_markup_needs_no_policy_and_what_an_endpoint_has_needs_one(policy: str) -> None:
    assert run("--detect", "ACTIVE_CONTENT", given="a <script>b").stdout == "a [ACTIVE_CONTENT]b"
    lone = run("--policy", policy, "--ruleset", "theirs", given="x")
    assert (lone.exit_code, lone.stderr) == (2, "--endpoint is needed: LIST_RIVALS is looked for in its texts alone\n")


def test_what_the_platform_allows_stays_without_an_endpoint_too(policy: str) -> None:
    text = "support@example.com and blue bird"
    told = run("--policy", policy, "--ruleset", "all", "--endpoint", "chat", "--tier", "free", given=text).stdout
    assert told == "support@example.com and [LIST_PROJECTS]"
