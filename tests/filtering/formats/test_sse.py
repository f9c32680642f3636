"""Event streams: every cutting of bytes and of deltas, and no leak in any reading."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tidegate.filtering.rewriter import rewrite

from tests.filtering.formats.bodies import PLAN, body, cut, drive, payloads
from tests.filtering.formats.events import (
    FIELDS,
    JSON_FIELDS,
    deltas,
    frame,
    streamed,
)
from tests.filtering.formats.texts import EMAILS, PLACES, PROSE, TEXTS, VALUES, strings, write


@given(st.sampled_from(sorted(FIELDS)), PROSE, PLACES, st.sampled_from([b"", frame("[DONE]")]))
def test_however_deltas_cut_a_text_the_client_gets_the_rewritten_text(
    field: str, text: str, places: list[int], ending: bytes
) -> None:
    assert streamed(*FIELDS[field], deltas(text, places), ending) == rewrite(PLAN, text, key=b"k")


@given(TEXTS, PLACES)
def test_a_streamed_text_is_what_the_whole_answer_would_be(text: str, places: list[int]) -> None:
    out, _ = drive(body("json"), [json.dumps(text).encode()])
    whole = json.loads(out)
    live = streamed(*FIELDS["content"], deltas(text, places))
    assert live == streamed(*FIELDS["content"], [text])
    # In text that begins like JSON escapes leave in their shortest form once the text is live.
    assert live == whole or text.lstrip(" \t\r\n")[:1] in ("{", "[")


@given(st.sampled_from(sorted(JSON_FIELDS)), VALUES, st.integers(0, 1 << 16), PLACES)
def test_streamed_json_is_what_the_whole_document_would_be(
    field: str, value: Any, seed: int, places: list[int]
) -> None:
    text = write({"to": EMAILS[0], "v": value}, seed)
    live = streamed(*JSON_FIELDS[field], deltas(text, places))
    assert live == streamed(*JSON_FIELDS[field], [text])
    out, _ = drive(body("json"), [json.dumps({"arguments": text}).encode()])
    assert json.loads(live) == json.loads(json.loads(out)["arguments"])
    assert EMAILS[0] not in live


@given(TEXTS, PLACES)
def test_arguments_that_are_no_json_are_cut_anywhere_too(text: str, places: list[int]) -> None:
    assert streamed(*JSON_FIELDS["tool"], deltas(text, places)) == streamed(*JSON_FIELDS["tool"], [text])


EVENTS = st.one_of(
    st.tuples(st.sampled_from(sorted({**FIELDS, **JSON_FIELDS})), TEXTS).map(
        lambda pair: {**FIELDS, **JSON_FIELDS}[pair[0]][0](pair[1])
    ),
    VALUES.map(lambda value: {"unknown": value}),
    st.sampled_from(
        [
            {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
            {
                "choices": [
                    {"index": 0, "delta": {"content": "bob@"}, "finish_reason": "stop"},
                    {"index": 2, "delta": {}},
                ]
            },
            {"choices": [{"index": 0, "delta": {"content": "x "}, "logprobs": {"content": [{"token": "x"}]}}]},
            {"type": "content_block_stop", "index": 0},
            {"type": "response.completed", "response": {"output": []}},
            "[DONE]",
            "plain bob@",
            "example.com text",
        ]
    ),
)
LINES = st.sampled_from(["", "id: 1", "event: x", ": keep", "event: bob@example.com", "data", "odd"])


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    seed = draw(st.integers(0, 1 << 16))
    out = draw(st.sampled_from(["", "\ufeff", end]))
    for event in draw(st.lists(EVENTS, max_size=6)):
        line = draw(LINES)
        text = event if isinstance(event, str) else write(event, seed)
        lines = [line] if line and line != "data" else []
        lines += [f"data: {row}" for row in text.split("\n")]
        out += end.join([*lines, "", ""])
    return out.encode()


@given(streams(), PLACES, st.integers(1, 3))
def test_every_cutting_of_the_bytes_gives_the_same(stream: bytes, places: list[int], step: int) -> None:
    whole = body("sse", tail=True)
    want = drive(whole, [stream])
    assert want[1] == ""
    for pieces in (cut(stream, places), [stream[i : i + step] for i in range(0, len(stream), step)]):
        rewriter = body("sse", tail=True)
        assert drive(rewriter, pieces) == want
        assert rewriter.coverage() == whole.coverage()
    receipt = whole.coverage()
    assert receipt.scanned_bytes + receipt.skipped_bytes == len(stream)
    assert 0 <= receipt.scanned_bytes <= len(stream)


@given(streams())
def test_repeated_shapes_are_read_like_new_ones(stream: bytes) -> None:
    """Events that differ in one piece take a short way; blanks in the payload keep them from it."""
    rows = enumerate(stream.splitlines(keepends=True))
    detour = b"".join(
        row.replace(b"data: {", b"data: {" + b" " * number, row.startswith(b"data: {")) for number, row in rows
    )
    assert payloads(drive(body("sse"), [stream])[0]) == payloads(drive(body("sse"), [detour])[0])


@given(streams(), st.sampled_from(sorted({**FIELDS, **JSON_FIELDS})), st.integers(0, 1 << 16))
def test_no_value_is_left_in_any_reading_of_the_stream(stream: bytes, field: str, seed: int) -> None:
    email = "zed@example.com"
    make = {**FIELDS, **JSON_FIELDS}[field][0]
    text = f" {email} " if field in FIELDS else write({"a": email}, seed)
    added = b"".join(b"data: " + write(make(text), seed + n).replace("\n", " ").encode() + b"\n\n" for n in range(2))
    out, failure = drive(body("sse"), [stream, added, added])
    assert not failure
    assert email.encode() not in out
    for event in payloads(out):
        assert not any(email in found for found in strings(event))


@given(st.binary(max_size=60) | st.text('data:{}[]",\\u0 choices\r\n', max_size=40).map(str.encode), PLACES)
def test_junk_is_read_or_malformed(data: bytes, places: list[int]) -> None:
    want = drive(body("sse"), [data])
    assert drive(body("sse"), cut(data, places)) == want


@given(streams(), st.lists(st.tuples(st.integers(0, 4000), st.binary(max_size=3)), max_size=3), PLACES)
def test_broken_streams_are_read_or_malformed(
    stream: bytes, damage: list[tuple[int, bytes]], places: list[int]
) -> None:
    for place, junk in damage:
        at = place % (len(stream) + 1)
        stream = stream[:at] + junk + stream[at + 1 :]
    want = drive(body("sse"), [stream])
    assert drive(body("sse"), cut(stream, places)) == want
