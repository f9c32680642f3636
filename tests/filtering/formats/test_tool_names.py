"""A tool's name that comes in pieces is one text, and leaves in the event that opens its call."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate.filtering.ruleset import FilterPlan

from tests.filtering.formats.bodies import BLOCK, PLAN, body, drive, payloads
from tests.filtering.formats.events import deltas, frame

TEXT = "mail_bob@example.com_now"
END = frame({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}) + b"data: [DONE]\n\n"
ARGUMENTS = ('{"a":', '"b"}')


def _delta(delta: dict[str, Any], choice: int = 0) -> bytes:
    return frame({"id": "c1", "choices": [{"index": choice, "delta": delta, "finish_reason": None}]})


def _tool(piece: str | None, arguments: str = "", *, kind: str = "function", index: int = 0, choice: int = 0) -> bytes:
    words = {} if piece is None else {"name": piece}
    field = "input" if kind == "custom" else "arguments"
    return _delta({"tool_calls": [{"index": index, kind: {**words, field: arguments}}]}, choice)


def _legacy(piece: str | None, arguments: str = "") -> bytes:
    return _delta({"function_call": {**({} if piece is None else {"name": piece}), "arguments": arguments}})


MAKERS = {"function": _tool, "custom": lambda *call: _tool(*call, kind="custom"), "function_call": _legacy}


def _run(pieces: list[bytes], plan: FilterPlan = PLAN) -> tuple[list[Any], Any]:
    rewriter = body("sse", plan)
    out, failure = drive(rewriter, pieces)
    assert not failure
    return payloads(out), rewriter


def _calls(events: list[Any], word: str) -> list[str]:
    """What a client appends of each event's call, in order."""
    found: list[str] = []
    for event in events:
        for choice in event["choices"] if isinstance(event, dict) else ():
            delta = choice["delta"]
            calls = [call.get("function") or call.get("custom") for call in delta.get("tool_calls", ())]
            found += [call[word] for call in (*calls, delta.get("function_call")) if call and word in call]
    return found


@pytest.mark.parametrize("kind", MAKERS)
@given(text=st.one_of(st.just(TEXT), st.text("bo@.exampl_c", min_size=1, max_size=24)), places=st.lists(st.integers(0)))
def test_however_a_name_is_cut_it_leaves_whole_and_rewritten_in_the_event_that_opens_the_call(
    kind: str, text: str, places: list[int]
) -> None:
    make = MAKERS[kind]
    pieces = [make(piece) for piece in deltas(text, places) if piece]
    events, rewriter = _run([*pieces, make(None, ARGUMENTS[0]), make(None, ARGUMENTS[1]), END])
    once, whole = _run([make(text), make(None, ARGUMENTS[0]), make(None, ARGUMENTS[1]), END])

    told = _calls(events, "name")
    assert told[0] == _calls(once, "name")[0]
    assert not any(told[1:])
    assert "".join(_calls(events, "input" if kind == "custom" else "arguments")) == "".join(ARGUMENTS)
    assert rewriter.coverage().findings == whole.coverage().findings
    assert "not_incremental" not in rewriter.coverage().skipped
    assert "bob@example.com" not in json.dumps(events)


@pytest.mark.parametrize(
    "rest", [[END], [_tool(None, "{}"), END], [_delta({"content": "so"}), END], [b"data: [DONE]\n\n"], []]
)
def test_a_name_is_let_out_with_whatever_ends_it(rest: list[bytes]) -> None:
    events, _ = _run([_tool("bob@exa"), _tool("mple.com"), *rest])

    assert _calls(events, "name") == ["[EMAIL]", ""]


def test_an_event_with_a_clean_name_keeps_its_bytes() -> None:
    opening = (
        b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"name":"g\\u0065t"}}]}}]}\n\n'
    )
    rewriter = body("sse")

    assert rewriter.feed(opening) == b""
    assert rewriter.feed(_tool(None, "{}")).startswith(opening)


def test_what_comes_behind_an_open_name_keeps_its_place() -> None:
    other = _delta({"content": "Hello there. "}, choice=1)
    out, _ = drive(body("sse"), [_tool("get_"), other, _tool("weather"), other, _tool(None, "{}")])

    assert out == _tool("get_weather") + other + _tool("") + other + _tool(None, "{}")


def test_names_of_calls_side_by_side_are_told_apart() -> None:
    calls = [_tool("bob@exa", index=0), _tool("mple.com", index=1), _tool("mple.com", choice=1), END]

    assert _calls(_run(calls)[0], "name") == ["bob@exa", "mple.com", "mple.com"]


def test_a_piece_of_a_name_behind_its_arguments_is_not_said_to_be_scanned_with_it() -> None:
    for first in (_tool("bob@exa", "{"), _tool("bob@exa") + _tool(None, "{")):
        _, rewriter = _run([first, _tool("mple.com", "}"), END])

        assert rewriter.coverage().skipped["not_incremental"] == 1


@pytest.mark.parametrize("cut", [1, 7, 9, len(TEXT)])
def test_a_call_whose_name_blocks_does_not_begin(cut: int) -> None:
    other = _delta({"content": "Hello there. "}, choice=1)
    pieces = [_tool(piece) for piece in (TEXT[:cut], TEXT[cut:]) if piece]
    rewriter = body("sse", BLOCK)
    out, _ = drive(rewriter, [other, *pieces, _tool(None, "{}"), END])

    assert rewriter.blocked is not None
    assert out == other


def test_what_waits_for_a_name_is_bounded() -> None:
    other = _delta({"content": "Hello there. " * 100}, choice=1)

    assert drive(body("sse", max_bytes=20_000), [_tool("get_"), *[other] * 20, END])[1] == "too_large"
    many = [_tool("get", "{}", index=index) for index in range(100)]
    assert drive(body("sse", max_bytes=20_000), [*many, END])[1] == "too_large"


UNKNOWN = {
    "an event that is new": lambda text: {"type": "response.something_new", "text": text},
    "an event of blocks that is new": lambda text: {"type": "content_block_more", "text": text},
    "beside the delta": lambda text: {"type": "content_block_delta", "index": 0, "text": text},
    "beside the delta of a response": lambda text: {"type": "response.output_text.delta", "text": text, "delta": ""},
    "inside of the delta": lambda text: {"type": "content_block_delta", "index": 0, "delta": {"x": [{"text": text}]}},
    "inside of the delta of a response": lambda text: {"type": "response.x.delta", "delta": {"x": {"text": text}}},
    "the id of a call": lambda text: {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "id": text}]}}]},
    "a name of nobody's": lambda text: {"name": text},
    "code of nobody's": lambda text: {"code": text},
}


@pytest.mark.parametrize("place", UNKNOWN)
@pytest.mark.parametrize("kind", ["sse", "ndjson"])
def test_a_string_of_which_nobody_knows_that_it_comes_whole_is_not_said_to_be_scanned(kind: str, place: str) -> None:
    rewriter = body(kind)
    events = [json.dumps(UNKNOWN[place](text)) for text in ("bob@exa", "mple.com")]
    out, _ = drive(rewriter, [(f"data: {event}\n\n" if kind == "sse" else f"{event}\n").encode() for event in events])

    assert b"mple.com" in out
    assert rewriter.coverage().skipped["not_incremental"] == 2


@pytest.mark.parametrize("name", ["code", "status", "event", "provider", "name", "a_field_with_a_very_long_name"])
def test_what_a_delta_holds_beside_its_text_is_not_said_to_be_scanned_where_it_may_go_on(name: str) -> None:
    for make in (
        lambda text: _delta({name: text}),
        lambda text: frame({"type": "content_block_delta", "index": 0, "delta": {"type": "x_delta", name: text}}),
        lambda text: frame({"type": "response.x.delta", "output_index": 0, "delta": {name: text}}),
    ):
        events, rewriter = _run([make("bob@exa"), make("mple.com")])
        unread = rewriter.coverage().skipped.get("not_incremental", 0)

        assert unread == 2 or "mple.com" not in json.dumps(events)
