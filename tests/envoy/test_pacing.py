"""A stream stops where its budget does: no text leaves that nobody had room for, and the client is told why."""

from __future__ import annotations

import json
import zlib
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tidegate.envoy.allowance import Answer
from tidegate.envoy.commands import Continue, Trailers
from tidegate.filtering.ruleset import FilterPlan
from tidegate.model import Hold, Price

from tests.envoy.budget import DONE, PROMPT, Room, endings, error_of, handoff, play, texts
from tests.envoy.priced import HELD, event
from tests.envoy.test_request_side import cut
from tests.envoy.world import NOTHING, REDACT, body_of, content_of, exchange


@pytest.mark.parametrize("plan", [REDACT, NOTHING])
@pytest.mark.parametrize(("reserved", "left", "leaves"), [(0, 0, 0), (25, 0, 2), (0, 35, 3), (25, 64, 8), (0, 64, 6)])
def test_text_leaves_as_far_as_there_is_room_and_then_the_client_is_told(
    plan: FilterPlan, reserved: int, left: int, leaves: int
) -> None:
    subject, room = exchange(plan), Room(left)
    sent = play(subject, [b"".join(texts(20)), DONE], room, handoff=handoff(reserved))
    out = body_of(sent)
    assert content_of(out) == ("x" * 39 + " ") * leaves
    assert error_of(out) == {
        "message": "Limit 'tpm' is exhausted: the response ends here.",
        "type": "rate_limit_error",
        "param": None,
        "code": "rate_limit_exceeded",
    }
    assert endings(sent) == [sent[-1]]
    assert (subject.outcome, subject.finished) == ("stopped", True)
    settlement = subject.settlement()
    assert settlement is not None
    assert settlement.costs["tokens"] == PROMPT + 10 * (leaves + 1)
    assert subject.body(event("never"), end=True) == []


@pytest.mark.parametrize(("left", "leaves"), [(0, 0), (35, 3), (64, 6)])
def test_a_compressed_stream_that_is_read_stops_as_any_other(left: int, leaves: int) -> None:
    coder = zlib.compressobj(wbits=31)
    parts = [coder.compress(data) + coder.flush(zlib.Z_SYNC_FLUSH) for data in (*texts(20), DONE)]
    subject = exchange()
    sent = play(subject, [*parts, coder.flush()], Room(left), content_encoding="gzip")
    out = body_of(sent)
    assert content_of(out) == ("x" * 39 + " ") * leaves
    assert error_of(out)["message"].startswith("Limit 'tpm' is exhausted")
    assert endings(sent) == [sent[-1]]
    assert subject.outcome == "stopped"


@pytest.mark.parametrize("plan", [REDACT, NOTHING])
def test_a_stream_stops_where_its_money_does(plan: FilterPlan) -> None:
    """Ten tokens an event at one micro-unit a token, and room for 35 of them beside the prompt."""
    price = Price(1_000_000, 1_000_000, 0, 0)
    paid = HELD._replace(price=price, hold=Hold(600.0, (("money", PROMPT),), ("budget",)))
    room = Room(35)
    out = body_of(play(exchange(plan), [*texts(20), DONE], room, handoff=paid))
    assert content_of(out) == ("x" * 39 + " ") * 3
    assert error_of(out)["message"].startswith("Limit 'budget' is exhausted")


@pytest.mark.parametrize("plan", [REDACT, NOTHING])
def test_a_stream_that_stays_within_its_reservation_asks_for_nothing(plan: FilterPlan) -> None:
    room = Room()
    sent = play(exchange(plan), [*texts(10), DONE], room, handoff=handoff(100))
    assert body_of(sent) == b"".join([*texts(10), DONE])
    assert room.asked == []


@pytest.mark.parametrize("plan", [REDACT, NOTHING])
def test_a_stream_that_outgrows_it_asks_in_steps(plan: FilterPlan) -> None:
    room = Room(10_000)
    sent = play(exchange(plan), [*texts(100), DONE], room, handoff=handoff(300))
    assert body_of(sent) == b"".join([*texts(100), DONE])
    assert room.asked == [100] * 7


@pytest.mark.parametrize("plan", [REDACT, NOTHING])
@pytest.mark.parametrize("answer", ["unavailable", "gone"])
def test_only_a_refusal_cuts_a_stream(plan: FilterPlan, answer: Answer) -> None:
    room = Room(answers=answer)
    sent = play(exchange(plan), [*texts(20), DONE], room)
    assert body_of(sent) == b"".join([*texts(20), DONE])
    assert len(room.asked) == (1 if answer == "gone" else 4)


@pytest.mark.parametrize("plan", [REDACT, NOTHING])
def test_the_end_of_a_stream_is_not_asked_about(plan: FilterPlan) -> None:
    """All the text has left: a usage that counts more than we did stops nothing."""
    last = f"data: {json.dumps({'choices': [], 'usage': {'prompt_tokens': 9000, 'completion_tokens': 9000}})}\n\n"
    stream = [*texts(2), last.encode(), DONE]
    room = Room()
    assert body_of(play(exchange(plan), [b"".join(stream)], room, handoff=handoff(20))) == b"".join(stream)
    assert room.asked == []


@pytest.mark.parametrize("plan", [REDACT, NOTHING])
def test_a_usage_in_mid_stream_counts(plan: FilterPlan) -> None:
    early = event("Hi. ", usage={"prompt_tokens": 900, "completion_tokens": 900})
    out = body_of(play(exchange(plan), [early, *texts(1), DONE], Room()))
    assert content_of(out) == ""
    assert error_of(out)["code"] == "rate_limit_exceeded"


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        ("application/json", json.dumps({"choices": [{"message": {"content": "x" * 400}}]}).encode()),
        ("text/plain", b"x" * 399 + b" "),
    ],
)
@pytest.mark.parametrize("plan", [REDACT, NOTHING])
def test_what_is_no_event_stream_is_not_cut(plan: FilterPlan, kind: str, raw: bytes) -> None:
    room = Room()
    sent = play(exchange(plan), [raw], room, content_type=kind)
    assert body_of(sent) == raw
    assert room.asked == []


def test_nothing_is_asked_where_no_limit_counts_what_the_response_says() -> None:
    room = Room()
    sent = play(exchange(NOTHING), texts(9), room, handoff=HELD._replace(hold=Hold(600.0)))
    assert body_of(sent) == b"".join(texts(9))
    assert room.asked == []


def test_all_limits_that_may_have_refused_are_named() -> None:
    out = body_of(play(exchange(NOTHING), texts(1), Room(), handoff=handoff(0, "tpm", "month")))
    assert error_of(out)["message"] == "Limit 'tpm' or 'month' is exhausted: the response ends here."


MESSAGES = [
    {"type": "message_start", "message": {"usage": {"input_tokens": 5, "output_tokens": 1}}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x" * 400}},
]
RESPONSES = [
    {"type": "response.created", "response": {"id": "r"}, "sequence_number": 0},
    {"type": "response.output_text.delta", "item_id": "i", "delta": "x" * 800, "sequence_number": 1},
]


def stopped(plan: FilterPlan, events: list[dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    parts = [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events]
    out = body_of(play(exchange(plan), parts, Room()))
    assert out.startswith(parts[0])
    last = out.removeprefix(parts[0]).decode()
    name, _, data = last.removesuffix("\n\n").partition("\n")
    return name, json.loads(data.removeprefix("data: "))


@pytest.mark.parametrize("plan", [REDACT, NOTHING])
def test_a_stream_is_ended_in_its_own_dialect(plan: FilterPlan) -> None:
    message = "Limit 'tpm' is exhausted: the response ends here."
    code = "rate_limit_exceeded"
    told = {"code": code, "message": message, "param": None, "sequence_number": 2}
    assert stopped(plan, RESPONSES) == ("event: error", {"type": "error", **told})
    error = {"type": "rate_limit_error", "message": message, "code": code}
    assert stopped(plan, MESSAGES) == ("event: error", {"type": "error", "error": error})


def test_an_event_that_left_in_part_is_ended_before_the_error() -> None:
    raw = b"data: " + b"x" * 300_000
    sent = play(exchange(NOTHING), [raw[:270_000], raw[270_000:]], Room(), handoff=handoff(70_000))
    assert body_of(sent).startswith(raw[: 270_000 - 3] + b'\n\ndata: {"error":')
    assert error_of(body_of(sent))["code"] == "rate_limit_exceeded"


@pytest.mark.parametrize("plan", [REDACT, NOTHING])
@settings(deadline=None)
@example(reserved=0, left=196, sizes=[4, 4, 4, 4, 125, 160, 160, 160, 160, 4, 76, 160], places=[6633])
@given(
    reserved=st.integers(0, 120),
    left=st.integers(0, 300),
    sizes=st.lists(st.integers(4, 160), max_size=12),
    places=st.lists(st.integers(0, 10_000), max_size=10),
)
def test_however_a_stream_is_cut_no_more_text_leaves_than_there_was_room_for(
    plan: FilterPlan, reserved: int, left: int, sizes: list[int], places: list[int]
) -> None:
    stream = b"".join([*(event("x" * (size - 1) + " ") for size in sizes), DONE])
    given_ = handoff(reserved)
    sent = play(exchange(plan), cut(stream, places), Room(left), handoff=given_)
    out = body_of(sent)
    assert out == body_of(play(exchange(plan), [stream], Room(left), handoff=given_))
    assert len(content_of(out)) <= 4 * (reserved + left)
    assert endings(sent) == [sent[-1]]
    assert [type(command) for command in sent].count(Continue) == 1
    total = -(-sum(sizes) // 4)
    assert (b'"error"' in out) is (total > reserved + left)
    if total <= reserved + left:
        assert out == stream


@pytest.mark.parametrize("plan", [REDACT, NOTHING])
@settings(deadline=None)
@given(left=st.integers(0, 100), places=st.lists(st.integers(0, 10_000), max_size=6))
def test_trailers_end_a_stream_that_waited_as_its_last_chunk_does(
    plan: FilterPlan, left: int, places: list[int]
) -> None:
    stream = b"".join([*texts(6), event("half", usage=None).rstrip(b"\n")])
    other, subject = exchange(plan), exchange(plan)
    whole = play(other, [stream], Room(left))
    sent = play(subject, cut(stream, places), Room(left), end=False)
    ended = subject.finished
    sent += subject.trailers()
    assert body_of(sent) == body_of(whole)
    assert subject.outcome == other.outcome
    assert subject.settlement() == other.settlement()
    assert [type(c) for c in sent].count(Trailers) == (not ended)
    assert len(endings(sent)) == ended


@pytest.mark.parametrize(("left", "over"), [(0, 10), (35, 8), (64, 6)])
def test_what_a_stopped_stream_cost_beyond_all_that_was_held_is_told(left: int, over: int) -> None:
    """The event that passed the allowance was written, and is settled; what was extended before (32, 64) was held."""
    subject = exchange()
    play(subject, [b"".join(texts(20)), DONE], Room(left), handoff=handoff(0))
    settlement = subject.settlement()
    assert settlement is not None
    assert settlement.over == (("tokens", over),)
