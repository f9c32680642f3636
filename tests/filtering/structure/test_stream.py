"""Streams that are held to a structure: pieces leave while they may become valid, and no invalid answer is whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate.filtering.formats import BodyRewriter, open_body
from tidegate.filtering.ruleset import Action, FilterPlan
from tidegate.filtering.structure.demand import Shape, Structure
from tidegate.filtering.structure.opening import structured
from tidegate.filtering.structure.schema import Schema

from tests.filtering.formats.bodies import TYPES, cut, drive, payloads
from tests.filtering.formats.events import (
    FIELDS,
    block,
    chat,
    deltas,
    frame,
    legacy,
    part,
    partial,
    response,
    response_call,
    tool,
)
from tests.filtering.structure.bodies import BAD, GOOD, answer, body, tools

NOTHING = FilterPlan({})
REDACT = FilterPlan({"EMAIL": Action.REDACT})
DONE = frame("[DONE]")
Kind = Literal["sse", "ndjson"]


def held(structure: Structure, plan: FilterPlan = NOTHING, kind: Kind = "sse", cap: int = 1 << 20) -> BodyRewriter:
    inner = open_body(TYPES[kind], plan, key=b"k", max_bytes=cap)
    assert inner is not None
    made = structured(inner, TYPES[kind], structure, max_bytes=cap)
    assert made is not None
    return made


def run(rewriter: BodyRewriter, pieces: list[bytes]) -> tuple[bytes, str, bool]:
    """What leaves, the verdict, and whether it was blocked."""
    out = b""
    for piece in pieces:
        out += rewriter.feed(piece)
        if rewriter.blocked is not None:
            break
    else:
        out += rewriter.finish()
    return out, rewriter.coverage().structure, rewriter.blocked is not None


def line(text: str, *, done: bool = False) -> bytes:
    return json.dumps({"model": "m", "message": {"role": "assistant", "content": text}, "done": done}).encode() + b"\n"


def finish(index: int = 0, reason: str = "stop") -> bytes:
    return frame({"choices": [{"index": index, "delta": {}, "finish_reason": reason}]})


STOP = frame({"type": "content_block_stop", "index": 0})
OUTPUT_DONE = frame(
    {"type": "response.output_text.done", "item_id": "m", "output_index": 0, "content_index": 0, "text": GOOD}
)
ANSWERS: dict[str, tuple[Callable[[str], Any], bytes]] = {
    "chat": (chat("content"), finish() + DONE),
    "completions": (legacy, DONE),
    "parts": (part, finish() + DONE),
    "messages": (block, STOP),
    "responses": (response, OUTPUT_DONE),
}


@pytest.mark.parametrize("api", ANSWERS)
def test_a_valid_answer_leaves_piece_by_piece_as_it_comes(api: str) -> None:
    make, end = ANSWERS[api]
    rewriter = held(answer())
    for piece in (GOOD[:5], GOOD[5:11], GOOD[11:]):
        event = frame(make(piece))
        assert payloads(rewriter.feed(event)) == payloads(event)
    assert payloads(rewriter.feed(end) + rewriter.finish()) == payloads(end)
    assert rewriter.coverage().structure == "valid"


@pytest.mark.parametrize("api", ANSWERS)
def test_an_invalid_answer_stops_before_its_last_piece(api: str) -> None:
    make, end = ANSWERS[api]
    rewriter = held(answer())
    first, last = frame(make(BAD[:-1])), frame(make(BAD[-1]))
    assert payloads(rewriter.feed(first)) == payloads(first)
    assert rewriter.feed(last + end) == b""
    assert rewriter.blocked is not None
    assert rewriter.coverage().structure == "answer/schema/properties/city/type"
    error = rewriter.abort("response_structure", "No.")
    assert b"response_structure" in error
    assert rewriter.feed(end) == rewriter.finish() == b""


@pytest.mark.parametrize(
    ("pieces", "left", "verdict"),
    [
        (["Sure, ", "here"], [], "answer/json"),
        (["```json\n", GOOD], [], "answer/json"),
        (["[", "1]"], [], "answer/schema/type"),
        (["7"], [], "answer/schema/type"),
        ([" \n", '{"city": ', "Oslo}"], [" \n", '{"city": '], "answer/json"),
        (['{"city": "Oslo"}', " and more"], ['{"city": "Oslo"}'], "answer/json"),
        (['{"city": "Oslo", ', '"city": 7', "}"], ['{"city": "Oslo", ', '"city": 7'], "answer/json_duplicate_key"),
        (["{" * 60, "{" * 60], [], "answer/json"),
    ],
)
def test_what_cannot_become_valid_is_stopped_as_soon_as_that_is_known(
    pieces: list[str], left: list[str], verdict: str
) -> None:
    make = chat("content")
    out, said, blocked = run(held(answer()), [*(frame(make(piece)) for piece in pieces), finish(), DONE])
    assert [event["choices"][0]["delta"]["content"] for event in payloads(out)] == left
    assert (said, blocked) == (verdict, True)


@pytest.mark.parametrize("end", [b"", DONE, finish(), finish(reason="length") + DONE])
def test_an_answer_that_is_cut_off_is_not_valid(end: bytes) -> None:
    piece = frame(chat("content")(GOOD[:-1]))
    out, verdict, blocked = run(held(answer()), [piece, end])
    assert (out, verdict, blocked) == (piece, "answer/json", True)


@pytest.mark.parametrize("end", [b"", DONE, finish() + DONE])
def test_a_number_by_itself_is_held_until_it_is_over(end: bytes) -> None:
    structure = Structure(answer=Shape(Schema({"type": "integer", "maximum": 99})))
    make = chat("content")
    rewriter = held(structure)
    assert rewriter.feed(frame(make("4"))) == b""
    assert rewriter.feed(frame(make("2")) + b": still here\n\n") == b""
    assert payloads(rewriter.feed(end) + rewriter.finish()) == payloads(frame(make("4")) + frame(make("2")) + end)
    assert run(held(structure), [frame(make("4")), frame(make("200")), end])[::2] == (b"", True)


def test_every_choice_is_judged_by_itself() -> None:
    def of(index: int, text: str) -> bytes:
        return frame({"choices": [{"index": index, "delta": {"content": text}}]})

    good = [of(0, '{"city"'), of(1, '{"city": "A'), of(0, ': "B"}'), of(1, '"}'), finish(0), finish(1), DONE]
    assert run(held(answer()), good) == (b"".join(good), "valid", False)
    bad = [of(0, GOOD), finish(0), of(1, "{}"), finish(1), DONE]
    assert run(held(answer()), bad) == (of(0, GOOD) + finish(0), "answer/schema/required", True)


def test_nothing_follows_an_answer_that_is_over() -> None:
    make = chat("content")
    out, verdict, blocked = run(held(answer()), [frame(make(GOOD)), finish(), frame(make(GOOD)), DONE])
    assert (out, verdict, blocked) == (frame(make(GOOD)) + finish(), "answer/json", True)
    number = Structure(answer=Shape(Schema({"type": "integer"})))
    assert run(held(number), [frame(make("4")), finish(), frame(make("2")), DONE])[2]


def test_reasoning_and_refusals_are_no_answers() -> None:
    thought = frame(chat("reasoning_content")("Let me think."))
    refusal = [frame(chat("refusal")("I would rather not.")), finish(), DONE]
    assert run(held(answer()), [thought, *refusal]) == (thought + b"".join(refusal), "unchecked", False)
    assert run(held(answer()), [thought, frame(chat("content")(GOOD)), finish(), DONE])[1:] == ("valid", False)
    assert run(held(answer()), [thought, finish(), DONE])[1:] == ("answer/json", True)


@pytest.mark.parametrize(
    "event",
    [
        frame("just text"),
        frame('"a string"'),
        frame([1]),
        frame({"meta_info": {}, "text": "all of it"}),
        frame({"unknown": {"api": "says"}}),
        frame('{"choices": [], "choices": []}'),
        frame("{broken"),
    ],
)
def test_what_is_of_no_known_api_does_not_pass(event: bytes) -> None:
    out, verdict, blocked = run(held(answer()), [event, DONE])
    assert (out, blocked) == (b"", True)
    assert verdict.startswith("answer/")


def named_tool(name: str) -> bytes:
    call = {"index": 1, "id": "c", "type": "function", "function": {"name": name, "arguments": ""}}
    return frame({"choices": [{"index": 2, "delta": {"tool_calls": [call]}}]})


def named_block(name: str) -> bytes:
    return frame(
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {"type": "tool_use", "id": "t", "name": name, "input": {}},
        }
    )


def named_item(name: str) -> bytes:
    item = {"type": "function_call", "id": "f", "name": name, "arguments": ""}
    return frame({"type": "response.output_item.added", "output_index": 0, "item": item})


CALLS: dict[str, tuple[Callable[[str], bytes], Callable[[str], Any], bytes]] = {
    "chat": (named_tool, tool, finish(2, "tool_calls") + DONE),
    "messages": (named_block, partial, STOP),
    "responses": (named_item, response_call, frame({"type": "response.completed", "response": {"output": []}})),
}


@pytest.mark.parametrize("api", CALLS)
def test_arguments_are_held_to_the_schema_of_their_tool(api: str) -> None:
    name, make, end = CALLS[api]
    good = [name("lookup"), frame(make(GOOD[:6])), frame(make(GOOD[6:])), end]
    assert run(held(tools()), good) == (b"".join(good), "valid", False)
    out, verdict, blocked = run(held(tools()), [name("lookup"), frame(make(BAD[:6])), frame(make(BAD[6:])), end])
    assert payloads(out) == payloads(name("lookup") + frame(make(BAD[:6])))
    assert (verdict, blocked) == ("tools.lookup/schema/properties/city/type", True)
    assert run(held(tools()), [name("lookup"), frame(make(GOOD[:6])), end])[1:] == ("tools.lookup/json", True)


@pytest.mark.parametrize("api", CALLS)
def test_a_tool_that_nobody_named_is_stopped_with_its_first_piece(api: str) -> None:
    name, make, end = CALLS[api]
    assert run(held(tools()), [name("rm"), frame(make("{}")), end]) == (name("rm"), "tools/unknown_tool", True)
    assert run(held(tools()), [frame(make("{}")), end])[1:] == ("tools/unknown_tool", True)
    passed = [name("rm"), frame(make("not JSON")), end]
    assert run(held(tools(others=None)), passed) == (b"".join(passed), "unchecked", False)


def test_a_call_has_one_name() -> None:
    assert run(held(tools()), [named_tool("lookup"), named_tool("rm"), DONE])[1:] == ("tools/two_names", True)


@pytest.mark.parametrize(
    "whole",
    [
        {"type": "response.output_text.done", "item_id": "m", "output_index": 0, "content_index": 0, "text": BAD},
        {"type": "response.content_part.done", "part": {"type": "output_text", "text": BAD}},
        {
            "type": "response.output_item.done",
            "item": {"type": "message", "content": [{"type": "output_text", "text": BAD}]},
        },
        {
            "type": "response.completed",
            "response": {"output": [{"type": "message", "content": [{"type": "output_text", "text": BAD}]}]},
        },
    ],
)
def test_an_answer_that_is_repeated_whole_is_judged_again(whole: Any) -> None:
    pieces = [frame(response(GOOD)), frame(whole)]
    assert run(held(answer()), pieces) == (pieces[0], "answer/schema/properties/city/type", True)


def test_ollamas_lines_and_whole_calls() -> None:
    good = [line('{"city": '), line('"Oslo"}'), line("", done=True)]
    assert run(held(answer(), kind="ndjson"), good) == (b"".join(good), "valid", False)
    bad = [line('{"city": '), line("7}"), line("", done=True)]
    rewriter = held(answer(), kind="ndjson")
    assert run(rewriter, bad) == (bad[0], "answer/schema/properties/city/type", True)
    assert json.loads(rewriter.abort("response_structure", "No."))["code"] == "response_structure"
    call = {
        "message": {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"function": {"name": "lookup", "arguments": {"city": 7}}}],
        },
        "done": False,
    }
    assert run(held(tools(), kind="ndjson"), [json.dumps(call).encode() + b"\n"])[1:] == (
        "tools.lookup/schema/properties/city/type",
        True,
    )


def test_it_is_judged_after_it_was_rewritten() -> None:
    make = chat("content")
    pieces = [frame(make(text)) for text in ('{"city": "Oslo", "mail": "bob@exam', 'ple.com"', "}")]
    assert run(held(answer()), [*pieces, finish(), DONE])[1:] == ("valid", False)
    out, verdict, blocked = run(held(answer(), REDACT), [*pieces, finish(), DONE])
    assert (verdict, blocked) == ("answer/schema/properties/mail/format", True)
    assert b"bob@" not in out
    assert b"}}]}\n\ndata: [DONE]" not in out


def test_a_stream_is_no_document() -> None:
    inner = open_body(TYPES["sse"], NOTHING, max_bytes=1 << 20)
    assert inner is not None
    assert structured(inner, TYPES["sse"], body({}), max_bytes=1 << 20) is None


@pytest.mark.parametrize("pieces", [["Sure"], [BAD[:5], BAD[5:]], ["4", "2"], [GOOD, "more"]])
def test_annotating_lets_every_byte_leave_when_it_comes(pieces: list[str]) -> None:
    raw = [frame(chat("content")(piece)).replace(b"\n", b"\r\n") for piece in pieces] + [finish(), DONE]
    rewriter = held(answer("annotate"))
    for one in raw:
        for cut_at in (one[:7], one[7:]):
            assert rewriter.feed(cut_at) == cut_at
    assert rewriter.finish() == b""
    assert rewriter.blocked is None
    assert rewriter.coverage().findings == {("STRUCTURE", "annotate"): 1}


def test_annotating_what_is_no_stream_lets_it_pass() -> None:
    for raw in (b"data: \xff\n\n" + DONE, b"data: " + b"x" * 300_000 + b"\n\n" + DONE):
        assert drive(held(answer("annotate")), [raw[:100], raw[100:]]) == (raw, "")


def test_what_is_kept_has_a_cap() -> None:
    make = chat("content")
    _, failure = drive(held(answer(), cap=8192), [frame(make('{"city": "')), *[frame(make("x" * 4000))] * 3])
    assert failure == "too_large"
    many = [frame({"choices": [{"index": n, "delta": {"content": "{"}}]}) for n in range(60)]
    assert drive(held(answer(), cap=8192), many)[1] == "too_large"


_TEXTS = st.sampled_from(
    [GOOD, BAD, "[1]", "Sure", '{"city": "Oslo"} x', '{"city": "bob@example.com"}', "12", '{"city": "O']
)
_PLACES = st.lists(st.integers(0, 1 << 16), max_size=6)


@given(_TEXTS, _PLACES, _PLACES, st.sampled_from(["content", "text"]), st.booleans())
def test_how_the_bytes_are_cut_changes_nothing(
    text: str, places: list[int], bytes_cut: list[int], field: str, ends: bool
) -> None:
    make, _ = FIELDS[field]
    raw = b"".join(frame(make(piece)) for piece in deltas(text, places)) + (finish() + DONE if ends else b"")
    results = []
    for pieces in ([raw], cut(raw, bytes_cut), [raw[i : i + 1] for i in range(len(raw))]):
        rewriter = held(answer(), REDACT)
        results.append((*run(rewriter, pieces), rewriter.coverage().findings))
    assert results[0] == results[1] == results[2]


@given(_TEXTS, _PLACES)
def test_how_a_text_is_cut_into_events_changes_no_verdict_and_no_invalid_one_leaves_whole(
    text: str, places: list[int]
) -> None:
    make, text_of = FIELDS["content"]
    out, _, blocked = run(held(answer()), [*(frame(make(piece)) for piece in deltas(text, places)), finish(), DONE])
    assert blocked == (answer().answer.schema.fault_of_text(text) != "")  # type: ignore[union-attr]
    said = "".join(
        text_of(event) for event in payloads(out) if isinstance(event, dict) and event["choices"][0]["delta"]
    )
    if not blocked:
        assert said == text
    elif not text.endswith(" x"):  # what follows a valid answer is not let out
        assert said != text or answer().answer.schema.fault_of_text(said) == "json"  # type: ignore[union-attr]


_FIELDS = """choices delta message content text tool_calls function name arguments index type item output response part
 done content_block partial_json candidates parts functionCall args function_call finish_reason refusal error"""
_KINDS = """lookup function_call message output_text response.completed response.output_item.added tool_use
 response.output_item.done content_block_start content_block_delta"""
_NAMES = st.sampled_from(_FIELDS.split())
_LEAVES = st.none() | st.booleans() | st.integers(-1, 3) | st.sampled_from([GOOD, BAD, "", *_KINDS.split()])
_EVENTS = st.recursive(
    _LEAVES, lambda one: st.lists(one, max_size=2) | st.dictionaries(_NAMES, one, max_size=4), max_leaves=12
)


@given(st.lists(_EVENTS, max_size=3), st.sampled_from(["block", "strip", "annotate"]))
def test_no_event_of_any_shape_raises(documents: list[Any], act: Any) -> None:
    structure = Structure(answer=answer(act).answer, tools=tools(act).tools, others="block")
    raw = [frame(document) for document in documents]
    for kind in ("sse", "ndjson"):
        lines = raw if kind == "sse" else [json.dumps(document).encode() + b"\n" for document in documents]
        out, _, blocked = run(held(structure, kind=kind), lines)  # type: ignore[arg-type]
        assert blocked or len(out) <= sum(map(len, lines)) + 200


@given(_EVENTS, st.sampled_from(["block", "strip", "annotate"]))
def test_no_document_of_any_shape_raises(document: Any, act: Any) -> None:
    structure = Structure(body=body({}, act).body, answer=answer(act).answer, tools=tools(act).tools, others="block")
    inner = open_body("application/json", NOTHING, max_bytes=1 << 20)
    assert inner is not None
    made = structured(inner, "application/json", structure, max_bytes=1 << 20)
    assert made is not None
    raw = json.dumps(document).encode()
    out = made.feed(raw) + made.finish()
    assert out == raw or made.blocked is not None or act == "strip"
