"""Names through the real Envoy: a chat answer and a live stream lose them, and the receipt says so."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from tests.e2e.keys import POLICY
from tests.e2e.stack import Gate, running_gate
from tests.e2e.upstream import Upstream, chat, chunked, delta, finish, json_answer

NAMES = POLICY.replace(
    "  pii: [{detect: [EMAIL, CREDIT_CARD], act: redact}]\n",
    "  pii:\n"
    "    - {detect: [EMAIL, LOCATION], act: redact}\n"
    "    - {detect: [PERSON], act: pseudonymize, scope: conversation}\n",
).replace("  predict:\n", "  predict:\n    conversation: X-Conversation\n")
TEXT = "Your letter was read by Wanda Kowalczyk in Rotterdam. You may write to wanda@example.com. Bye."
READ = re.compile(
    r"Your letter was read by (\[PERSON_[0-9a-f]{12}\]) in \[LOCATION\]\. You may write to \[EMAIL\]\. Bye\."
)


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Gate]:
    with running_gate(tmp_path_factory.mktemp("names"), upstream, policy=NAMES) as gate:
        yield gate


def told(text: str) -> str:
    """The stand-in of the person, where the rest is as it should be."""
    match = READ.fullmatch(text)
    assert match is not None, text
    return match[1]


def streamed(gate: Gate, pieces: list[str], **headers: str) -> str:
    answer = gate.get(chunked([*map(delta, pieces), *finish()]), headers=headers)
    events = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: {")]
    return "".join(json.loads(event)["choices"][0]["delta"].get("content", "") for event in events)


def test_a_chat_answer_names_nobody(gate: Gate) -> None:
    answer = gate.chat(json_answer(chat(TEXT)))
    told(answer.json()["choices"][0]["message"]["content"])
    assert "PERSON:pseudonymize:1" in answer.headers["x-tidegate-coverage"]


@pytest.mark.parametrize("size", [1, 7, 200])
def test_a_stream_names_nobody_however_it_is_cut(gate: Gate, size: int) -> None:
    told(streamed(gate, [TEXT[at : at + size] for at in range(0, len(TEXT), size)]))


def test_a_person_is_the_same_over_a_conversation(gate: Gate) -> None:
    one = told(streamed(gate, [TEXT[:30], TEXT[30:]], **{"x-conversation": "c1"}))
    answer = gate.get(json_answer(chat(TEXT)), headers={"x-conversation": "c1"})
    assert told(answer.json()["choices"][0]["message"]["content"]) == one
    assert told(streamed(gate, [TEXT], **{"x-conversation": "c2"})) != one
