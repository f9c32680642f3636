"""Fields that a schema forbids are taken out, nothing else changes a byte, and what is left must match."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate.filtering.formats.json_text import Path
from tidegate.filtering.structure.demand import Shape, Structure
from tidegate.filtering.structure.schema import Schema
from tidegate.filtering.structure.strip import MAX_PARTS, replaced, stripped, without_members

from tests.filtering.formats.bodies import drive, payloads
from tests.filtering.formats.events import chat as delta
from tests.filtering.formats.events import deltas, frame
from tests.filtering.formats.texts import VALUES, write
from tests.filtering.structure.bodies import ANSWERS, CALLS_AS_OBJECTS, CALLS_AS_TEXT, CITY, GOOD, answer, body, tools
from tests.filtering.structure.streams import ANSWERS as STREAMS
from tests.filtering.structure.streams import DONE, REDACT, finish, held, named_tool, run
from tests.filtering.structure.test_json import judged

EXTRA = '{"x": 1,"city": "Oslo", "y": {"city": [2]}}'
LEFT = '{"city": "Oslo"}'
INNER = {"type": "object", "properties": {"n": {}}, "additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "text", "left"),
    [
        ({"properties": {"a": {}}, "additionalProperties": False}, '{ "b":1, "a" : 1.00 ,"c":[{}]}', '{  "a" : 1.00 }'),
        ({"properties": {"a": {}}, "additionalProperties": False}, '{"b":1,"c":2}', "{}"),
        ({"properties": {"a": INNER}}, '{"z":1,"a":{"n":1e0,"m":"}"}}', '{"z":1,"a":{"n":1e0}}'),
        ({"items": INNER}, '[{"n":1},{"m":1},{"n":2,"m":"\\u0041,"}]', '[{"n":1},{},{"n":2}]'),
        ({"anyOf": [{"type": "null"}, INNER]}, '{"n":1,"m":2}', '{"n":1}'),
        ({"oneOf": [{"type": "string"}, {"type": "array", "items": INNER}]}, '[{"m":2}]', "[{}]"),
        ({"allOf": [{"properties": {"n": {}}}], "unevaluatedProperties": False}, '{"n":1,"m":2}', '{"n":1}'),
        ({"additionalProperties": False}, '{"n":1,"m":2}', "{}"),
        ({"properties": {"n": False}}, '{"n":1,"m":2}', '{"m":2}'),
        ({"$ref": "#/$defs/i", "$defs": {"i": INNER}}, '{"n":1,"m":2}', '{"n":1}'),
        ({"properties": {"a": {**INNER, "required": ["n"]}}}, '{"a":{"n":1,"m":{"n":{"m":1}}}}', '{"a":{"n":1}}'),
        ({"properties": {"é": {}}, "additionalProperties": False}, '{"\\u00e9":1,"\\u0078":2}', '{"\\u00e9":1}'),
        ({"properties": {"a": {}}}, '{"a":1,"b":2}', '{"a":1,"b":2}'),
    ],
)
def test_only_what_is_forbidden_goes(schema: Any, text: str, left: str) -> None:
    compiled = Schema(schema)
    assert stripped(compiled, text)[0] == left
    assert compiled.fault_of_text(left) == ""


@pytest.mark.parametrize("text", ['{"city": 7, "x": 1}', '{"x": 1}', "[]", '"x"', '{"city": "Oslo", "mail": "none"}'])
def test_what_does_not_match_without_it_is_blocked(text: str) -> None:
    out, verdict, blocked = judged(answer("strip"), ANSWERS["chat"](text))
    assert (out, blocked) == (b"", True)
    assert verdict.startswith("answer/schema/")


@pytest.mark.parametrize("api", ANSWERS)
def test_answers_of_every_api(api: str) -> None:
    out, verdict, blocked = judged(answer("strip"), ANSWERS[api](EXTRA))
    assert (json.loads(out), verdict, blocked) == (ANSWERS[api](LEFT), "valid", False)
    same = json.dumps(ANSWERS[api](GOOD), indent=3).encode()
    assert judged(answer("strip"), same)[0] == same


@pytest.mark.parametrize("api", [*CALLS_AS_TEXT, *CALLS_AS_OBJECTS])
def test_arguments_of_every_api(api: str) -> None:
    for calls, extra, left in ((CALLS_AS_TEXT, EXTRA, LEFT), (CALLS_AS_OBJECTS, json.loads(EXTRA), json.loads(LEFT))):
        if api in calls:
            out, verdict, blocked = judged(tools("strip"), calls[api](extra))
            assert (json.loads(out), verdict, blocked) == (calls[api](left), "valid", False)


def test_body_and_answer_together() -> None:
    shape = {"type": "object", "properties": {"choices": {}}, "additionalProperties": False}
    structure = Structure(body=Shape(Schema(shape), "strip"), answer=Shape(CITY, "strip"))
    out, verdict, _ = judged(structure, {"usage": 1, **ANSWERS["chat"](EXTRA), "id": 2})
    assert (json.loads(out), verdict) == (ANSWERS["chat"](LEFT), "valid")


def test_what_was_taken_out_is_counted() -> None:
    from tests.filtering.structure.test_json import held as json_body

    rewriter = json_body(answer("strip"))
    drive(rewriter, [json.dumps(ANSWERS["chat"](EXTRA)).encode()])
    assert rewriter.coverage().findings == {("STRUCTURE", "strip"): 2}


def test_what_was_rewritten_is_stripped_too() -> None:
    text = '{"city": "bob@example.com", "b": "ann@example.com"}'
    out, verdict, _ = judged(answer("strip"), ANSWERS["chat"](text), REDACT)
    assert (json.loads(out), verdict) == (ANSWERS["chat"]('{"city": "[EMAIL]"}'), "valid")


@pytest.mark.parametrize("api", STREAMS)
@pytest.mark.parametrize("size", [1, 5, 1000])
def test_a_stream_is_held_until_its_text_is_over_and_leaves_stripped(api: str, size: int) -> None:
    make, end = STREAMS[api]
    pieces = [frame(make(EXTRA[start : start + size])) for start in range(0, len(EXTRA), size)]
    rewriter = held(answer("strip"))
    out = b"".join(rewriter.feed(piece) for piece in pieces[:-1])
    assert out == b""
    out = rewriter.feed(pieces[-1])
    kept = rewriter.feed(end.replace(GOOD.encode(), EXTRA.encode())) + rewriter.finish()
    events = payloads(out)
    assert len(events) == len(pieces)
    assert [event for event in events if event == make("")] == [make("")] * (len(pieces) - 1)
    assert events[0] == make(LEFT)
    assert payloads(kept) == payloads(end.replace(GOOD.encode(), LEFT.encode()))
    assert rewriter.coverage().structure == "valid"


def test_a_whole_text_that_repeats_a_stream_is_stripped_too() -> None:
    make, _ = STREAMS["responses"]
    item = {"type": "message", "content": [{"type": "output_text", "text": EXTRA}]}
    done = {"type": "response.completed", "response": {"id": "r", "output": [item]}}
    out, _, blocked = run(held(answer("strip")), [frame(make(EXTRA)), frame(done)])
    assert not blocked
    assert payloads(out)[0] == make(LEFT)
    assert payloads(out)[1]["response"]["output"][0]["content"][0]["text"] == LEFT


def test_other_events_keep_their_place_while_one_is_held() -> None:
    make = delta("content")
    between = frame(delta("reasoning_content")("hm"))
    out, _, _ = run(held(answer("strip")), [frame(make(EXTRA[:9])), between, frame(make(EXTRA[9:])), finish(), DONE])
    assert payloads(out) == [make(LEFT), *payloads(between), make(""), *payloads(finish() + DONE)]
    call = {"index": 1, "function": {"arguments": EXTRA}}
    piece = frame({"choices": [{"index": 2, "delta": {"tool_calls": [call]}}]})
    out, verdict, _ = run(held(tools("strip")), [named_tool("lookup"), piece, DONE])
    assert verdict == "valid"
    assert payloads(out)[1]["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"] == LEFT


def test_two_pieces_in_one_event_are_one_text() -> None:
    both = {"choices": [{"index": 0, "delta": {"content": text}} for text in (EXTRA[:9], EXTRA[9:])]}
    out, verdict, _ = run(held(answer("strip")), [frame(both), finish(), DONE])
    assert verdict == "valid"
    assert [choice["delta"]["content"] for choice in payloads(out)[0]["choices"]] == [LEFT, ""]


def test_what_cannot_be_stripped_ends_the_stream_and_none_of_it_leaves() -> None:
    make = delta("content")
    pieces = [frame(make(text)) for text in ('{"city": 7, ', '"x": 1}')]
    assert run(held(answer("strip")), [*pieces, finish(), DONE]) == (b"", "answer/schema/properties/city/type", True)
    assert run(held(answer("strip")), [pieces[0], DONE]) == (b"", "answer/json", True)


def test_what_is_held_has_a_cap() -> None:
    make = delta("content")
    many = [frame(make('{"city": "'))] + [frame(make(""))] * 100
    assert drive(held(answer("strip"), cap=8192), many)[1] == "too_large"


def test_in_shadow_nothing_is_taken_out() -> None:
    raw = json.dumps(ANSWERS["chat"](EXTRA)).encode()
    assert judged(answer("strip").in_shadow(), raw) == (raw, "answer/schema/additionalProperties", False)


def test_a_document_of_too_many_parts_is_not_looked_through() -> None:
    schema = Schema({"items": INNER})
    text = json.dumps([{"m": 1}] * (MAX_PARTS // 2 + 1))
    started = time.process_time()
    assert stripped(schema, text) == (text, 0)
    small = json.dumps([{"m": 1}] * (MAX_PARTS // 2 - 2))
    assert json.loads(stripped(schema, small)[0]) == [{}] * (MAX_PARTS // 2 - 2)
    assert time.process_time() - started < 2
    assert judged(body({"items": INNER}, "strip"), text.encode())[2]


def places(value: Any, path: Path = ()) -> list[Path]:
    """The places of all members."""
    if isinstance(value, dict):
        return [place for name, below in value.items() for place in ((*path, name), *places(below, (*path, name)))]
    if isinstance(value, list):
        return [place for index, below in enumerate(value) for place in places(below, (*path, index))]
    return []


def less(value: Any, gone: set[Path], path: Path = ()) -> Any:
    if isinstance(value, dict):
        return {name: less(below, gone, (*path, name)) for name, below in value.items() if (*path, name) not in gone}
    if isinstance(value, list):
        return [less(below, gone, (*path, index)) for index, below in enumerate(value)]
    return value


@given(VALUES, st.integers(0, 999), st.data())
def test_members_go_and_all_else_is_equal(value: Any, seed: int, data: st.DataObject) -> None:
    known = places(value)
    gone = set(data.draw(st.lists(st.sampled_from(known), max_size=4))) if known else set()
    left = without_members(write(value, seed), sorted(gone, key=str))
    assert json.loads(left) == less(value, gone)
    assert without_members(left, []) == left


@given(VALUES, st.integers(0, 999))
def test_strings_are_replaced_where_they_stand(value: Any, seed: int) -> None:
    document = {"a": [value, "old"], "b": "old"}
    text = write(document, seed)
    new = json.loads(replaced(text, [(("a", 1), '"new"')]))
    assert new == {"a": [value, "new"], "b": "old"}


@given(st.lists(st.integers(0, 1 << 16), max_size=6), st.lists(st.integers(0, 1 << 16), max_size=6))
def test_how_a_stream_is_cut_changes_nothing_of_what_it_says(places_: list[int], cuts: list[int]) -> None:
    from tests.filtering.formats.bodies import cut

    make = delta("content")
    raw = b"".join(frame(make(piece)) for piece in deltas(EXTRA, places_)) + finish() + DONE
    whole = run(held(answer("strip")), [raw])
    assert run(held(answer("strip")), cut(raw, cuts)) == whole
    said = "".join(e["choices"][0]["delta"].get("content", "") for e in payloads(whole[0]) if isinstance(e, dict))
    assert said == LEFT
