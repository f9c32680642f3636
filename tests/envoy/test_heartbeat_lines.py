"""Silent lines of JSON: Ollama's get one without text, others an empty one where clients pass over those, or none."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate.envoy.exchange import Exchange
from tidegate.filtering.ruleset import FilterPlan

from tests.envoy.world import BLOCK, HANDOFF, NOTHING, REDACT, SHADOW, body_of, exchange, head

OLLAMA = {"content_type": "application/x-ndjson"}
CHAT = {"model": "m", "created_at": "2026-01-01T00:00:00Z", "message": {"role": "assistant", "content": "so bob@exa"}}


def lines(*documents: dict[str, Any]) -> bytes:
    return "".join(f"{json.dumps(document)}\n" for document in documents).encode()


@pytest.mark.parametrize(
    ("document", "want"),
    [
        ({**CHAT, "done": False}, {**CHAT, "message": {"role": "assistant", "content": ""}, "done": False}),
        ({"model": "m", "response": "hi ", "done": False}, {"model": "m", "response": "", "done": False}),
        ({"response": "hi ", "context": [1, 2], "done": False}, {"response": "", "done": False}),
    ],
)
def test_lines_of_ollama_are_followed_by_one_without_text(document: dict[str, Any], want: dict[str, Any]) -> None:
    subject = exchange(REDACT)
    subject.head(head(**OLLAMA))
    assert subject.beat == b""  # nothing has left that says which of its calls this is
    subject.sent += len(body_of(subject.body(lines(document), end=False)))
    assert json.loads(subject.beat) == want
    assert b"bob" not in subject.beat


@pytest.mark.parametrize(
    ("plan", "body"),
    [
        (REDACT, b'{"a": "b"}\n'),
        (REDACT, b'["response", "b"]\n'),
        (REDACT, lines({**CHAT, "done": True})),
        (REDACT, lines({**CHAT, "done": False}) + b"\n"),
        (REDACT, lines({"response": ["x"], "done": False})),
        (REDACT, lines({"error": "no such model"})),
        (SHADOW, lines({**CHAT, "done": False})),
        (NOTHING, lines({**CHAT, "done": False})),
        (BLOCK, lines({**CHAT, "done": False}, {"message": {"content": "mple.com now"}, "done": False})),
    ],
)
def test_other_lines_those_that_end_and_those_that_leave_as_they_came_are_followed_by_none(
    plan: FilterPlan, body: bytes
) -> None:
    subject = exchange(plan)
    subject.head(head(**OLLAMA))
    subject.sent += len(body_of(subject.body(body, end=False)))
    assert subject.beat == b""


def patient(plan: FilterPlan = REDACT) -> Exchange:
    """Of an endpoint whose clients pass over empty lines."""
    return replace(exchange(plan), blank_lines=lambda handoff: handoff.endpoint == HANDOFF.endpoint)


@pytest.mark.parametrize(
    "body", [b"", b'{"a": "b"}\n', lines({"choices": [{"delta": {"content": "bob@exa"}}]}), lines({"error": "x"})]
)
def test_other_lines_are_followed_by_an_empty_one_where_the_endpoints_clients_pass_over_those(body: bytes) -> None:
    subject = patient()
    subject.head(head(**OLLAMA))
    subject.sent += len(body_of(subject.body(body, end=False)))
    assert subject.beat == b"\n"


def test_lines_of_ollama_are_still_followed_by_one_of_theirs() -> None:
    subject = patient()
    subject.head(head(**OLLAMA))
    subject.sent += len(body_of(subject.body(lines({**CHAT, "done": False}), end=False)))
    assert json.loads(subject.beat)["message"]["content"] == ""


@pytest.mark.parametrize(
    ("plan", "kind", "body"),
    [
        (SHADOW, OLLAMA, b'{"a": "b"}\n'),
        (NOTHING, OLLAMA, b'{"a": "b"}\n'),
        (BLOCK, OLLAMA, b'{"a": "bob@example.com"}\n'),
        (REDACT, {"content_type": "text/csv"}, b"a,b\r\n"),
        (REDACT, {"content_type": "text/plain"}, b"a\n"),
        (REDACT, {"content_type": "application/json"}, b'{"a": "b"}'),
    ],
)
def test_no_empty_line_stands_in_what_is_no_lines_of_ours(plan: FilterPlan, kind: dict[str, str], body: bytes) -> None:
    subject = patient(plan)
    subject.head(head(**kind))
    subject.sent += len(body_of(subject.body(body, end=False)))
    assert subject.beat == b""


@given(
    st.lists(st.text("ab @.com\n", max_size=12), max_size=5),
    st.lists(st.integers(0, 600), max_size=8),
    st.booleans(),
)
def test_an_empty_line_wherever_one_may_stand_adds_nothing(texts: list[str], cuts: list[int], chat: bool) -> None:
    said = [{"message": {"role": "assistant", "content": text}} if chat else {"response": text} for text in texts]
    stream = lines(*({"model": "m", **each, "done": False} for each in said), {"model": "m", "done": True})
    subject, plain = exchange(REDACT), exchange(REDACT)
    subject.head(head(**OLLAMA))
    plain.head(head(**OLLAMA))
    places = [0, *sorted({cut for cut in cuts if cut < len(stream)}), len(stream)]
    out = want = b""
    for start, end in zip(places, [*places[1:], None], strict=True):
        out += subject.beat
        out += body_of(subject.body(stream[start:end], end=end is None))
        want += body_of(plain.body(stream[start:end], end=end is None))

    def answered(raw: bytes) -> tuple[str, list[bool]]:
        documents = [json.loads(line) for line in raw.splitlines()]
        text = "".join(one.get("response", "") + one.get("message", {}).get("content", "") for one in documents)
        return text, [one["done"] for one in documents if one["done"]]

    assert subject.beat == b""
    assert answered(out) == answered(want)
