"""Pseudonyms through the real Envoy: what holds for a conversation, for a tenant, and over two workers."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.e2e.keys import POLICY
from tests.e2e.stack import Gate, running_gate
from tests.e2e.upstream import Upstream, chat, chunked, delta, finish, json_answer

SECRET, CARD = "bob@example.com", "4111 1111 1111 1111"
PSEUDONYMS = POLICY.replace(
    "  pii: [{detect: [EMAIL, CREDIT_CARD], act: redact}]\n",
    "  pii:\n"
    "    - {detect: [EMAIL], act: pseudonymize, scope: conversation}\n"
    "    - {detect: [CREDIT_CARD], act: pseudonymize, scope: tenant, form: alike}\n",
).replace("  predict:\n", "  predict:\n    conversation: X-Conversation\n")


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Gate]:
    with running_gate(tmp_path_factory.mktemp("pseudonyms"), upstream, policy=PSEUDONYMS, workers=2) as gate:
        yield gate


def told(gate: Gate, key: str = "free", **headers: str) -> tuple[str, str]:
    """What the client reads in the place of an e-mail address and of a card."""
    answer = gate.get(json_answer(chat(f"{SECRET} pays by {CARD}")), key=key, headers=headers)
    mail, _, card = answer.json()["choices"][0]["message"]["content"].partition(" pays by ")
    assert re.fullmatch(r"\[EMAIL_[0-9a-f]{12}\]", mail)
    assert re.fullmatch(r"0\d{3} \d{4} \d{4} \d{4}", card)
    return mail, card


def test_a_conversation_keeps_its_pseudonyms_on_every_worker(gate: Gate) -> None:
    assert len({told(gate, **{"x-conversation": "c1"}) for _ in range(6)}) == 1


def test_other_conversations_and_callers_have_others_and_the_tenant_one(gate: Gate) -> None:
    seen = [told(gate, **{"x-conversation": "c1"}), told(gate, **{"x-conversation": "c2"})]
    seen += [
        told(gate, "premium", **{"x-conversation": "c1"}),
        told(gate),
        told(gate),
        told(gate, **{"x-conversation": "c" * 257}),
    ]
    assert len({mail for mail, _ in seen}) == len(seen)
    assert len({card for _, card in seen}) == 1


def test_a_stream_has_the_same_however_it_is_cut(gate: Gate) -> None:
    mail, _ = told(gate, **{"x-conversation": "c3"})
    parts = [delta(f"to {SECRET[:5]}"), delta(SECRET[5:]), *finish()]
    answer = gate.get(chunked(parts), headers={"x-conversation": "c3"})
    assert mail in answer.text
    assert SECRET[5:] not in answer.text
