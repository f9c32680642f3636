"""Answers that stream: pieces leave while they may become valid, and no invalid answer is whole."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tidegate.filtering.formats import open_body
from tidegate.filtering.structure.demand import Shape, Structure
from tidegate.filtering.structure.opening import structured
from tidegate.filtering.structure.schema import Schema

from tests.filtering.formats.bodies import TYPES, drive, payloads
from tests.filtering.formats.events import chat, frame, response
from tests.filtering.structure.bodies import BAD, GOOD, answer, body, tools
from tests.filtering.structure.streams import ANSWERS, DONE, NOTHING, REDACT, finish, held, line, run


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


def test_an_unknown_api_is_not_known_by_an_error_that_it_does_not_have() -> None:
    out, verdict, blocked = run(held(answer()), [frame({"token": BAD, "error": None}), DONE])
    assert (out, verdict, blocked) == (b"", "answer/unknown_api", True)
    said = frame({"error": {"message": "busy"}}) + DONE
    assert run(held(answer()), [said]) == (said, "unchecked", False)


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
