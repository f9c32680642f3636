"""Pieces of texts in the dialects of other model servers, and in fields that are new to a known one."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from itertools import count, pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tidegate.filtering.rewriter import rewrite

from tests.filtering.formats.bodies import PLAN, body, drive, payloads
from tests.filtering.formats.texts import PLACES, PROSE

_serial = count()


def chat(delta: Any) -> Any:
    return {"choices": [{"index": 0, "delta": delta}]}


def response(kind: str, item: str, delta: Any) -> Any:
    return {"type": f"response.{kind}.delta", "item_id": item, "output_index": 0, "content_index": 0, "delta": delta}


# By dialect: an event for a piece, and the steps to it.
DIALECTS: dict[str, tuple[Callable[[str], Any], list[str | int]]] = {
    "ollama": (lambda text: {"model": "m", "response": text, "done": False}, ["response"]),
    "ollama chat": (
        lambda text: {"message": {"role": "assistant", "content": text}, "done": False},
        ["message", "content"],
    ),
    "llama.cpp": (lambda text: {"content": text, "stop": False}, ["content"]),
    "tgi": (
        lambda text: {"index": next(_serial), "token": {"id": 3, "text": text}, "generated_text": None},
        ["token", "text"],
    ),
    "triton": (lambda text: {"model_name": "m", "text_output": text}, ["text_output"]),
    "gemini": (
        lambda text: {"candidates": [{"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}]},
        ["candidates", 0, "content", "parts", 0, "text"],
    ),
    "cohere": (
        lambda text: {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": text}}}},
        ["delta", "message", "content", "text"],
    ),
    "cohere v1": (lambda text: {"event_type": "text-generation", "text": text}, ["text"]),
    "anthropic completions": (
        lambda text: {"type": "completion", "completion": text, "stop_reason": None},
        ["completion"],
    ),
    "bedrock": (
        lambda text: {"contentBlockDelta": {"delta": {"text": text}, "contentBlockIndex": 0}},
        ["contentBlockDelta", "delta", "text"],
    ),
    "ai sdk": (lambda text: {"type": "text-delta", "id": "0", "delta": text}, ["delta"]),
    "dify": (lambda text: {"event": "message", "answer": text}, ["answer"]),
    "assistants": (
        lambda text: {
            "object": "thread.message.delta",
            "delta": {"content": [{"index": 0, "type": "text", "text": {"value": text}}]},
        },
        ["delta", "content", 0, "text", "value"],
    ),
    "chat, new field": (lambda text: chat({"thoughts": text}), ["choices", 0, "delta", "thoughts"]),
    "chat, message": (
        lambda text: {"choices": [{"index": 0, "message": {"content": text}}]},
        ["choices", 0, "message", "content"],
    ),
    "messages, new field": (
        lambda text: {"type": "content_block_delta", "index": 0, "delta": {"type": "new_delta", "content": text}},
        ["delta", "content"],
    ),
    "responses, object": (lambda text: response("reasoning", "m", {"text": text}), ["delta", "text"]),
    "responses, new item id each event": (
        lambda text: response("output_text", f"m{next(_serial)}", text),
        ["delta"],
    ),
}


NAMES = st.sampled_from(
    [
        "type",
        "object",
        "choices",
        "delta",
        "message",
        "content",
        "text",
        "value",
        "index",
        "id",
        "candidates",
        "parts",
        "token",
        "finishReason",
        "done",
        "stop",
        "contentBlockIndex",
        "item_id",
        "output_index",
        "content_index",
        "tool_calls",
        "function",
        "arguments",
        "finish_reason",
        "content_block",
        "item",
        "part",
        "input",
        "code",
        "command_index",
    ]
)
JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(0, 2)
    | st.sampled_from(
        [
            "bob@",
            "text-delta",
            "response.x.delta",
            "stop",
            "content_block_start",
            "response.output_item.added",
            "response.content_part.added",
            "function_call",
            "output_text",
        ]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


def frame(event: Any) -> bytes:
    return f"data: {json.dumps(event)}\n\n".encode()


def at(event: Any, steps: list[str | int]) -> str:
    for step in steps:
        event = event[step]
    assert isinstance(event, str)
    return event


@pytest.mark.parametrize("dialect", DIALECTS)
@given(PROSE, PLACES, st.booleans())
def test_a_value_that_events_share_is_found(dialect: str, text: str, places: list[int], done: bool) -> None:
    make, steps = DIALECTS[dialect]
    edges = sorted({place % (len(text) + 1) for place in places} | {0, len(text)})
    rows = [frame(make(text[start:end])) for start, end in pairwise(edges)]
    out, failure = drive(body("sse"), [*rows, b"data: [DONE]\n\n" if done else b""])
    assert not failure
    live = "".join(at(event, steps) for event in payloads(out) if isinstance(event, dict))
    assert live == rewrite(PLAN, text, key=b"k")


def part(kind: str, name: str, text: str) -> Any:
    place = {"item_id": "m", "output_index": 0, "content_index": 0}
    return {"type": "response.content_part.added", **place, "part": {"type": kind, name: text}}


def item(kind: str, name: str, text: str) -> Any:
    return {"type": "response.output_item.added", "output_index": 0, "item": {"id": "m", "type": kind, name: text}}


def block(kind: str, text: str) -> Any:
    return {"type": "content_block_start", "index": 0, "content_block": {"type": kind, kind: text}}


def block_delta(kind: str, text: str) -> Any:
    return {"type": "content_block_delta", "index": 0, "delta": {"type": f"{kind}_delta", kind: text}}


# By what is opened: the event that opens it and the steps to its text there, then those of the next piece.
OPENED: dict[str, tuple[Callable[[str], Any], list[str | int], Callable[[str], Any], list[str | int]]] = {
    **{
        kind: (partial(part, kind, name), ["part", name], partial(response, base, "m"), ["delta"])
        for kind, name, base in (
            ("output_text", "text", "output_text"),
            ("reasoning_text", "text", "reasoning_text"),
            ("refusal", "refusal", "refusal"),
        )
    },
    **{
        kind: (partial(item, kind, name), ["item", name], partial(response, base, "m"), ["delta"])
        for kind, name, base in (
            ("custom_tool_call", "input", "custom_tool_call_input"),
            ("code_interpreter_call", "code", "code_interpreter_call_code"),
        )
    },
    **{
        kind: (partial(block, kind), ["content_block", kind], partial(block_delta, kind), ["delta", kind])
        for kind in ("text", "thinking")
    },
}


@pytest.mark.parametrize("kind", OPENED)
@settings(deadline=None)
@given(PROSE, PROSE, PLACES)
def test_the_event_that_opens_a_text_may_carry_its_first_piece(
    kind: str, first: str, text: str, places: list[int]
) -> None:
    opens, steps, goes_on, further = OPENED[kind]
    edges = sorted({place % (len(text) + 1) for place in places} | {0, len(text)})
    rows = [frame(opens(first)), *(frame(goes_on(text[start:end])) for start, end in pairwise(edges))]
    out, failure = drive(body("sse"), rows)
    assert not failure
    opened, *others = payloads(out)
    assert [event["type"] == opened["type"] for event in others] == [False] * len(others)
    live = at(opened, steps) + "".join(at(event, further) for event in others)
    assert live == rewrite(PLAN, first + text, key=b"k")


@pytest.mark.parametrize(
    "ending",
    [
        {"response": "", "done": True},
        {"token": {"text": ""}, "generated_text": "write bob"},
        {"candidates": [{"content": {"parts": [{"text": ""}]}, "finishReason": "STOP"}]},
        {"type": "text-end", "id": "0"},
        {"object": "thread.message.completed"},
    ],
)
def test_what_is_held_leaves_before_the_end(ending: dict[str, Any]) -> None:
    held = {"response": "write bob"} if "response" in ending else {"text": "write bob"}
    out, failure = drive(body("sse"), [frame(held), frame(ending), frame({"late": True})])
    assert not failure
    assert out.index(b"bob") < out.index(b"late")


def test_a_text_that_each_event_repeats_is_no_sequence_of_pieces() -> None:
    events = [{"text": text, "meta_info": {"id": "r"}} for text in ("I am", "I am bob", "I am bob@example.com")]
    out, _ = drive(body("sse"), map(frame, events))
    assert [event["text"] for event in payloads(out)] == ["I am", "I am bob", "I am [EMAIL]"]


def test_what_may_go_on_in_another_event_is_not_said_to_be_scanned() -> None:
    rewriter = body("sse")
    events = [{"type": "progress", "note": text} for text in ("bob@exa", "mple.com", "ann@example.com")]
    out, _ = drive(rewriter, map(frame, events))
    assert payloads(out) == [*events[:2], {"type": "progress", "note": "[EMAIL]"}]
    receipt = rewriter.coverage()
    assert receipt.skipped == {"not_incremental": 3}
    assert (receipt.scanned_fields, receipt.skipped_fields) == (3, 3)


@given(st.lists(st.dictionaries(NAMES, JUNK, max_size=5), max_size=4))
def test_no_shape_of_an_event_is_a_failure(events: list[Any]) -> None:
    out, failure = drive(body("sse"), [*map(frame, events), frame({"x": "bob@example.com"})])
    assert not failure
    assert b"[EMAIL]" in out


def test_no_type_of_a_type_is_a_failure() -> None:
    events = [{"type": kind, "text": "fine. "} for kind in (["text-end"], {"a": 1}, 5, None)]
    out, failure = drive(body("sse"), map(frame, events))
    assert not failure
    assert payloads(out) == events
