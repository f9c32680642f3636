"""Event streams that live, break, are blocked or are cut off; caps; values that vary with every event."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate.errors import BodyTooLarge, MalformedBody
from tidegate.filtering.formats import listen
from tidegate.filtering.rewriter import rewrite

from tests.filtering.formats.bodies import BLOCK, body, drive, payloads
from tests.filtering.formats.events import (
    chat,
    deltas,
    frame,
)
from tests.filtering.formats.texts import PLACES, PROSE


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


RESPONSE = {"type": "response.output_text.delta", "item_id": "i", "delta": "Hello, "}
MESSAGE = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello, "}}
TOLD: dict[str, Any] = {"code": "x", "message": "y", "param": None}


@pytest.mark.parametrize(
    ("events", "last"),
    [
        ([], [{"error": {**TOLD, "type": "api_error"}}, "[DONE]"]),
        ([{"label": "ok"}, chat("content")("Hello, ")], [{"error": {**TOLD, "type": "api_error"}}, "[DONE]"]),
        ([RESPONSE] * 3, [{"type": "error", **TOLD, "sequence_number": 3}]),
        ([MESSAGE] * 3, [{"type": "error", "error": {"type": "api_error", "message": "y", "code": "x"}}]),
        ([{"type": "ping"}, MESSAGE], [{"type": "error", "error": {"type": "api_error", "message": "y", "code": "x"}}]),
    ],
)
def test_an_abort_is_in_the_dialect_of_the_stream(events: list[Any], last: list[Any]) -> None:
    stream = b"".join(map(frame, events))
    rewriter = body("sse")
    assert payloads(rewriter.feed(stream) + rewriter.abort("x", "y"))[len(events) :] == last
    listening = listen("text/event-stream", Deaf(), max_bytes=1000)
    assert listening is not None
    listening.feed(stream)
    assert payloads(listening.abort("x", "y")) == last


def test_an_abort_for_want_of_room_says_so_in_its_type() -> None:
    assert payloads(body("sse").abort("rate_limit_exceeded", "y"))[0]["error"]["type"] == "rate_limit_error"


def test_a_body_that_passes_and_is_no_event_stream_has_no_such_ending() -> None:
    for kind in ("application/json", "text/plain"):
        listening = listen(kind, Deaf(), max_bytes=1000)
        assert listening is not None
        assert listening.abort("x", "y") == b""


class Deaf:
    """An observer that hears nothing."""

    def document(self, document: Any) -> None: ...

    def text(self, text: str) -> None: ...

    def unread(self, size: int) -> None: ...


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
