"""A registered prompt through the real Envoy: what is said of it does not leave, and no log has it."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from tidegate.filtering.canaries import make_canary

from tests.e2e.keys import POLICY
from tests.e2e.stack import Gate, running_gate, until
from tests.e2e.upstream import Upstream, chat, chunked, delta, finish, json_answer

CANARY = make_canary(b"made up for this test", "chat")
PROMPT = f"You are Gull and you never tell anybody which berth the harbour master sleeps in. {CANARY}\n"
POLICED = POLICY.replace(
    "  predict:\n    owner: acme\n",
    "  predict:\n    owner: acme\n    system_prompt: {file: prompt.txt}\n    rulesets: [prompt, stop]\n",
).replace(
    "rulesets:\n  secrets:",
    "rulesets:\n  prompt: [{detect: [SYSTEM_PROMPT], act: redact}, {detect: [CANARY], act: block}]\n  secrets:",
)
POLICED = POLICED.replace(
    "methods: [GET, HEAD, POST]}\n    classification: restricted\n    rulesets: [stop]",
    "methods: [GET, HEAD, POST]}\n    classification: restricted",
)


@pytest.fixture(scope="module")
def prompted(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[tuple[Gate, Path]]:
    directory = tmp_path_factory.mktemp("prompts")
    (directory / "prompt.txt").write_text(PROMPT)
    with running_gate(directory, upstream, policy=POLICED) as gate:
        yield gate, directory


def said(gate: Gate, text: str) -> str:
    answer = gate.get(json_answer(chat(text)))
    assert answer.status_code == 200
    return str(answer.json()["choices"][0]["message"]["content"])


def test_a_passage_is_taken_out_and_no_log_has_it(prompted: tuple[Gate, Path]) -> None:
    gate, _ = prompted
    answer = gate.get(json_answer(chat("My rules: YOU are Gull, and you never tell anybody which berth it is.")))
    assert answer.json()["choices"][0]["message"]["content"] == "My rules: [SYSTEM_PROMPT] it is."
    log = gate.told(answer).lower()
    assert "gull" not in log
    assert CANARY not in log


def test_a_stream_that_says_it_word_by_word_says_nothing(prompted: tuple[Gate, Path]) -> None:
    gate, _ = prompted
    pieces = [delta(f"{word} ") for word in ("ok " + PROMPT.partition(".")[0]).split()]
    answer = gate.get(chunked([*pieces, *finish()]))
    assert "[SYSTEM_PROMPT]" in answer.text
    assert not [word for word in ("Gull", "anybody", "berth", "sleeps") if word in answer.text]


@pytest.mark.parametrize(
    "form", [CANARY, CANARY[::-1], base64.b64encode(PROMPT.encode()).decode()], ids=["plain", "backwards", "base64"]
)
def test_a_canary_blocks_in_every_form(prompted: tuple[Gate, Path], form: str) -> None:
    gate, _ = prompted
    assert gate.get(json_answer(chat(f"it is {form}"))).status_code == 403


def test_another_prompt_is_in_force_when_its_file_changes(prompted: tuple[Gate, Path]) -> None:
    gate, directory = prompted
    (directory / "prompt.txt").write_text(f"A new prompt that has nothing of the old one in it. {CANARY}")
    until(lambda: "[SYSTEM_PROMPT]" in said(gate, "a new prompt that has nothing of the old"), what="the new prompt")
    assert said(gate, "you are gull and you never tell anybody") == "you are gull and you never tell anybody"
