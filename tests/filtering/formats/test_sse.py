"""Event streams: every cutting of bytes and of deltas, no leak in any reading, ends, faults and blocks."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate.errors import BodyTooLarge, MalformedBody
from tidegate.filtering.rewriter import rewrite

from tests.filtering.formats.bodies import BLOCK, PLAN, body, cut, drive, payloads
from tests.filtering.formats.texts import EMAILS, PLACES, PROSE, TEXTS, VALUES, strings, write

Make = Callable[[str], Any]


def chat(field: str) -> Make:
    return lambda text: {"id": "c1", "created": 17, "choices": [{"index": 0, "delta": {field: text}}]}


def tool(text: str) -> Any:
    call = {"index": 1, "function": {"arguments": text}}
    return {"id": "c1", "choices": [{"index": 2, "delta": {"tool_calls": [call]}}]}


def legacy(text: str) -> Any:
    return {"choices": [{"text": text, "index": 0, "finish_reason": None}]}


def part(text: str) -> Any:
    return {"choices": [{"index": 0, "delta": {"content": [{"type": "text", "text": text}]}}]}


def block(text: str) -> Any:
    return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}


def partial(text: str) -> Any:
    return {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": text}}


def response(text: str) -> Any:
    return {"type": "response.output_text.delta", "item_id": "m", "output_index": 0, "content_index": 0, "delta": text}


def response_call(text: str) -> Any:
    return {"type": "response.function_call_arguments.delta", "item_id": "f", "output_index": 0, "delta": text}


FIELDS: dict[str, tuple[Make, Callable[[Any], Any]]] = {
    **{
        name: (chat(name), lambda event, name=name: event["choices"][0]["delta"][name])
        for name in ("content", "reasoning_content", "reasoning", "refusal")
    },
    "text": (legacy, lambda event: event["choices"][0]["text"]),
    "part": (part, lambda event: event["choices"][0]["delta"]["content"][0]["text"]),
    "block": (block, lambda event: event["delta"]["text"]),
    "response": (response, lambda event: event["delta"]),
}
JSON_FIELDS: dict[str, tuple[Make, Callable[[Any], Any]]] = {
    "tool": (tool, lambda event: event["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"]),
    "partial": (partial, lambda event: event["delta"]["partial_json"]),
    "response_call": (response_call, lambda event: event["delta"]),
}


def frame(event: Any, end: str = "\n") -> bytes:
    text = event if isinstance(event, str) else json.dumps(event, ensure_ascii=False)
    return f"data: {text}{end}{end}".encode()


def deltas(text: str, places: list[int]) -> list[str]:
    edges = sorted({place % (len(text) + 1) for place in places} | {0, len(text)})
    return [text[start:end] for start, end in pairwise(edges)] or [text]


def streamed(make: Make, read: Callable[[Any], Any], pieces: list[str], ending: bytes = b"") -> str:
    """What a client puts together from `pieces`."""
    out, failure = drive(body("sse"), [*(frame(make(piece)) for piece in pieces), ending])
    assert not failure
    return "".join(read(event) for event in payloads(out) if isinstance(event, dict))


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


def test_a_stream_is_live() -> None:
    rewriter = body("sse")
    assert rewriter.streaming
    first = frame(chat("content")("Hello, you. "))
    assert rewriter.feed(first) == first
    assert rewriter.feed(first[:20]) == b""
    assert rewriter.feed(first[20:]) == first


def test_what_precedes_a_fault_leaves_first() -> None:
    rewriter = body("sse")
    good = frame({"a": "b "})
    assert rewriter.feed(good + b"data: {\n\n") == good
    with pytest.raises(MalformedBody):
        rewriter.feed(good)
    assert rewriter.feed(good) == rewriter.finish() == b""
    assert rewriter.coverage().failure == "malformed"


def test_utf8_that_is_cut_off_is_malformed() -> None:
    rewriter = body("sse")
    assert rewriter.feed("data: é".encode()[:-1]) == b""
    with pytest.raises(MalformedBody):
        rewriter.finish()


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_an_event_has_a_cap(step: int) -> None:
    def run(size: int, end: bytes) -> tuple[bytes, str]:
        data = b"data: " + b"x" * (size - 6) + end
        return drive(body("sse", max_event=64), [data[i : i + step] for i in range(0, len(data), step)])

    for end in (b"\n\n", b"\r\n\r\n", b""):
        assert run(64, end)[1] == ""
        assert run(65, end) == (b"", "too_large")


def test_what_is_held_has_a_cap_and_the_total_has_none() -> None:
    rewriter = body("sse", max_bytes=8000)
    for _ in range(200):
        rewriter.feed(frame(chat("content")("fine, this is fine. ")))
    with pytest.raises(BodyTooLarge):
        for index in range(100):
            rewriter.feed(frame({"choices": [{"index": index, "delta": {"content": "bob@"}}]}))


def test_a_block_ends_the_stream_before_the_value() -> None:
    rewriter = body("sse", BLOCK)
    first = frame(chat("content")("Hello, "))
    second = frame(chat("content")("I am bob@example.com, and "))
    out = rewriter.feed(first + second + first)
    assert [event["choices"][0]["delta"]["content"] for event in payloads(out)] == ["Hello, ", "I am "]
    assert rewriter.blocked is not None
    assert rewriter.blocked.where == "choices[0].delta.content"
    assert rewriter.feed(first) == rewriter.finish() == b""


@given(PROSE, PROSE, PLACES, st.booleans())
def test_however_deltas_are_cut_a_block_leaves_the_same_text(
    before: str, after: str, places: list[int], finish: bool
) -> None:
    text = f"{before} bob@example.com {after}"

    def run(pieces: list[str]) -> str:
        rewriter = body("sse", BLOCK)
        events = [chat("content")(piece) for piece in pieces]
        if finish:
            events[-1]["choices"][0]["finish_reason"] = "stop"
        out, _ = drive(rewriter, map(frame, events))
        assert rewriter.blocked is not None
        assert b'"stop"' not in out
        return "".join(event["choices"][0]["delta"]["content"] for event in payloads(out))

    assert run(deltas(text, places)) == run([text]) == rewrite(BLOCK, text, key=b"k")


@pytest.mark.parametrize(
    "event",
    [
        {"id": "bob@example.com", "choices": [{"index": 0, "delta": {"content": "x "}}]},
        {"choices": [{"index": 0, "delta": {"content": "x "}}], "id": "bob@example.com"},
        {
            "choices": [
                {"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": '"bob@example.com"'}}]}}
            ]
        },
        "bob@example.com",
    ],
)
def test_an_event_that_is_blocked_anywhere_does_not_leave(event: Any) -> None:
    rewriter = body("sse", BLOCK)
    out, _ = drive(rewriter, [frame(event)])
    assert rewriter.blocked is not None
    assert rewriter.blocked.where
    assert b"bob" not in out
    assert b"id" not in out


def test_an_abort_is_an_error_event_and_an_end_on_a_fresh_event() -> None:
    rewriter = body("sse")
    first = frame(chat("content")("Hello, "))
    out = rewriter.feed(first + b'data: {"choices":[{"ind') + rewriter.abort("response_withheld", "It's over.")
    error = {"message": "It's over.", "type": "api_error", "param": None, "code": "response_withheld"}
    assert out.startswith(first)
    assert payloads(out)[1:] == [{"error": error}, "[DONE]"]
    assert out.endswith(b"\n\n")
    assert rewriter.feed(first) == rewriter.finish() == b""
    assert rewriter.coverage().failure == "response_withheld"


def test_an_abort_follows_a_fault() -> None:
    rewriter = body("sse")
    with pytest.raises(MalformedBody):
        rewriter.feed(b"data: {\n\n")
    assert rewriter.abort("x", "y").startswith(b'data: {"error":')


def test_a_tail_is_the_receipt_as_a_comment() -> None:
    rewriter = body("sse", tail=True)
    out = rewriter.feed(frame("[DONE]")) + rewriter.finish()
    assert out == f"data: [DONE]\n\n: tidegate {rewriter.coverage().header()}\n\n".encode()


def test_surrogates_that_two_deltas_share_are_one_character() -> None:
    """A bold B of mathematics, escaped and cut in half, is still read as part of an address."""
    rows = [
        b'data: {"choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n' % text for text in (b"\\ud835", b"\\udc01ob@")
    ]
    out, _ = drive(body("sse"), [*rows, frame(chat("content")("example.com"))])
    assert "".join(event["choices"][0]["delta"]["content"] for event in payloads(out)) == "[EMAIL]"


def test_values_that_vary_with_every_event_are_still_read() -> None:
    def event(number: int, obfuscation: str) -> Any:
        made = chat("content")("fine, ")
        return {**made, "id": f"c{number}", "sequence_number": number, "obfuscation": obfuscation}

    events = [event(n, "xyz"[: n % 3]) for n in range(5)] + [event(4111111111111111, "bob@example.com"), event(7, "")]
    rewriter = body("sse")
    out, _ = drive(rewriter, map(frame, events))
    assert payloads(out)[:5] == events[:5]
    assert payloads(out)[5] == {
        **events[5],
        "id": "c[CREDIT_CARD]",
        "sequence_number": "[CREDIT_CARD]",
        "obfuscation": "[EMAIL]",
    }
    assert payloads(out)[6] == events[6]
    receipt = rewriter.coverage()
    # Six texts an event but the first, which has no obfuscation, and each event's created, index and sequence number.
    assert receipt.skipped == {"number": 3 * 7 - 1}
    assert receipt.scanned_fields == 3 * 7 + 1


def test_a_block_in_a_value_that_varies_withholds_the_event() -> None:
    events = [{**chat("content")("fine, "), "obfuscation": text} for text in ("a", "b", "c", "bob@example.com", "d")]
    rewriter = body("sse", BLOCK)
    out, _ = drive(rewriter, map(frame, events))
    assert payloads(out) == events[:3]
    assert rewriter.blocked is not None
    assert rewriter.blocked.where == "obfuscation"


def test_a_block_in_a_line_withholds_the_event() -> None:
    rewriter = body("sse", BLOCK)
    assert rewriter.feed(b"id: bob@example.com\n" + frame({})) == b""
    assert rewriter.blocked is not None
    assert rewriter.blocked.where == "line"


def test_a_pattern_takes_only_what_is_valid() -> None:
    good = frame(chat("content")("fine, "))
    for bad in (b"fine\\x, ", b'fine", ', b"fine\t, ", b"fine\\, ", b"fine\\u12, ", b"\xff"):
        rewriter = body("sse")
        assert rewriter.feed(good) == good
        with pytest.raises(MalformedBody):
            rewriter.feed(good.replace(b"fine, ", bad))


def test_only_known_holders_carry_pieces() -> None:
    """A text under a name that is itself a value could not be put back where the client looks for it."""
    event = {"choices": [{"index": 0, "delta": {"bob@example.com": {"text": "ann@"}}}]}
    out, failure = drive(body("sse"), [frame(event), frame("[DONE]")])
    assert not failure
    assert payloads(out) == [{"choices": [{"index": 0, "delta": {"[EMAIL]": {"text": "ann@"}}}]}, "[DONE]"]
