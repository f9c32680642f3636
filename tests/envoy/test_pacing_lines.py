"""Lines of documents stop where their budget does, as events do: no text without room for it, and a line says why."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tidegate.filtering.ruleset import FilterPlan

from tests.envoy.budget import PROMPT, Room, endings, handoff, play
from tests.envoy.priced import HELD
from tests.envoy.test_request_side import cut
from tests.envoy.world import NOTHING, REDACT, SHADOW, body_of, exchange, head

LINES = {"content_type": "application/x-ndjson"}
TOLD = {"error": "Limit 'tpm' is exhausted: the response ends here.", "code": "rate_limit_exceeded"}


def line(text: str, *, field: str = "message", **more: Any) -> bytes:
    """One of Ollama's, of chat or of generate."""
    said = {"message": {"role": "assistant", "content": text}} if field == "message" else {"response": text}
    return json.dumps({"model": "small", "created_at": "t", **said, "done": False, **more}).encode() + b"\n"


def done(**more: Any) -> bytes:
    last = {"model": "small", "message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop"}
    return json.dumps(last | more).encode() + b"\n"


def text_of(out: bytes) -> str:
    """As Ollama's clients read it: each line is a document, or the stream is broken."""
    documents = [json.loads(part) for part in out.splitlines()]
    return "".join(
        document.get("response", "") + document.get("message", {}).get("content", "") for document in documents
    )


@pytest.mark.parametrize("plan", [REDACT, NOTHING, SHADOW])
@pytest.mark.parametrize("field", ["message", "response"])
@pytest.mark.parametrize(("reserved", "left", "leaves"), [(0, 0, 0), (25, 0, 2), (0, 35, 3), (25, 64, 8), (0, 64, 6)])
def test_text_leaves_as_far_as_there_is_room_and_then_the_client_is_told(
    plan: FilterPlan, field: str, reserved: int, left: int, leaves: int
) -> None:
    subject = exchange(plan)
    stream = [line("x" * 39 + " ", field=field) for _ in range(20)]
    sent = play(subject, [b"".join(stream), done()], Room(left), handoff=handoff(reserved), **LINES)
    *before, last = body_of(sent).splitlines()
    assert text_of(b"\n".join(before)) == ("x" * 39 + " ") * leaves
    assert json.loads(last) == TOLD
    assert endings(sent) == [sent[-1]]
    assert subject.outcome == "stopped"
    settlement = subject.settlement()
    assert settlement is not None
    assert settlement.costs["tokens"] == PROMPT + 10 * (leaves + 1)


@pytest.mark.parametrize("plan", [REDACT, NOTHING])
def test_within_the_reservation_no_byte_is_changed_and_nothing_asked(plan: FilterPlan) -> None:
    stream, room = [*[line("x" * 39 + " ")] * 10, done(eval_count=100, prompt_eval_count=7)], Room()
    sent = play(exchange(plan), stream, room, handoff=handoff(100), **LINES)
    assert body_of(sent) == b"".join(stream)
    assert room.asked == []


@pytest.mark.parametrize("plan", [REDACT, NOTHING])
def test_a_count_in_the_last_line_stops_nothing(plan: FilterPlan) -> None:
    stream, room = [line("Hi. "), done(eval_count=9000, prompt_eval_count=9000)], Room()
    sent = play(exchange(plan), [b"".join(stream)], room, handoff=handoff(20), **LINES)
    assert text_of(body_of(sent)) == "Hi. "
    assert b'"error"' not in body_of(sent)


def test_what_was_held_back_does_not_leave_when_the_stream_stops() -> None:
    stream = [line("x" * 39 + " "), line("write to bob@exam"), line("y" * 400)]
    out = body_of(play(exchange(), stream, Room(), handoff=handoff(20), **LINES))
    assert b"bob" not in out
    assert json.loads(out.splitlines()[-1]) == TOLD


def test_a_line_that_left_in_part_is_ended_before_the_error() -> None:
    raw = b'{"response": "' + b"x" * 300_000
    sent = play(exchange(NOTHING), [raw[:270_000], raw[270_000:]], Room(), handoff=handoff(70_000), **LINES)
    first, last = body_of(sent).splitlines()
    assert raw.startswith(first)
    assert json.loads(last) == TOLD


def test_no_comment_is_put_between_lines() -> None:
    subject = exchange(NOTHING)
    subject.head(head(**LINES, handoff=handoff(100)))
    subject.sent += len(body_of(subject.body(line("Hi. "), end=False)))
    assert subject.sent
    assert not subject.beat


def test_where_no_limit_counts_what_the_response_says_lines_pass_as_they_come() -> None:
    room = Room()
    half = line("Hi. ")[:20]
    subject = exchange(NOTHING)
    sent = subject.head(head(**LINES, handoff=HELD._replace(hold=HELD.hold._replace(amounts=()))))
    sent += subject.body(half, end=False)
    assert body_of(sent) == half
    assert room.asked == []


@pytest.mark.parametrize("plan", [REDACT, NOTHING])
@settings(deadline=None)
@given(
    reserved=st.integers(0, 120),
    left=st.integers(0, 300),
    sizes=st.lists(st.integers(4, 160), max_size=12),
    places=st.lists(st.integers(0, 10_000), max_size=10),
    ended=st.booleans(),
)
def test_however_lines_are_cut_no_more_text_leaves_than_there_was_room_for(
    plan: FilterPlan, reserved: int, left: int, sizes: list[int], places: list[int], ended: bool
) -> None:
    stream = b"".join([*(line("x" * (size - 1) + " ") for size in sizes), done()])
    stream = stream if ended else stream.removesuffix(b"\n")
    given_ = handoff(reserved)
    sent = play(exchange(plan), cut(stream, places), Room(left), handoff=given_, **LINES)
    out = body_of(sent)
    assert out == body_of(play(exchange(plan), [stream], Room(left), handoff=given_, **LINES))
    assert len(text_of(out)) <= 4 * (reserved + left)
    assert endings(sent) == [sent[-1]]
    total = -(-sum(sizes) // 4)
    assert (b'"error"' in out) is (total > reserved + left)
    if total <= reserved + left:
        assert out.removesuffix(b"\n") == stream.removesuffix(b"\n")
