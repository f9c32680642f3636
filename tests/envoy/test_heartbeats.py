"""An event stream that is silent says that it lives: between events, where it is rewritten anyway, and nowhere else."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate.envoy.commands import RequestHead
from tidegate.envoy.exchange import Exchange
from tidegate.envoy.handoff import Handoff
from tidegate.filtering.formats.beats import COMMENT
from tidegate.filtering.ruleset import FilterPlan

from tests.envoy.priced import HELD
from tests.envoy.served import Desk, Record, message
from tests.envoy.stage import Stage
from tests.envoy.world import BLOCK, HANDOFF, NOTHING, REDACT, SHADOW, body_of, content_of, exchange, head, sse

SSE = {"content_type": "text/event-stream"}


def heard(stream: bytes) -> list[list[str]]:
    """The fields of each event that a reader is given (WHATWG, "Interpreting an event stream")."""
    events: list[list[str]] = [[]]
    for line in re.split("\r\n|\n|\r", stream.decode()):
        if not line and events[-1]:
            events.append([])
        elif line and not line.startswith(":"):
            events[-1].append(line)
    return events


async def test_a_silent_stream_beats_once_in_each_span_of_silence() -> None:
    stage = Stage()
    await stage.send(message(HANDOFF))
    await stage.clock.turn(14)
    assert stage.line.out() == b""
    await stage.clock.turn(1)
    assert stage.line.out() == COMMENT
    await stage.clock.turn(45)
    assert stage.line.out() == COMMENT * 4
    await stage.send(message(body=sse("hello there ", done=False)))
    await stage.clock.turn(14)
    assert stage.line.out().endswith(b"\n\n")
    assert stage.line.out().count(COMMENT) == 4
    await stage.clock.turn(1)
    assert stage.line.out().count(COMMENT) == stage.told == 5
    await stage.send(message(body=sse("bye"), end=True))
    await stage.clock.turn(100)
    assert (await stage.over()).count(COMMENT) == 5


async def test_text_that_is_held_back_is_still_held_after_a_heartbeat() -> None:
    stage = Stage()
    await stage.send(message(HANDOFF))
    await stage.send(message(body=sse("write to bob@exam", done=False)))
    await stage.clock.turn(15)
    assert b"bob" not in stage.line.out()
    await stage.send(message(body=sse("ple.com"), end=True))
    out = await stage.over()
    assert b"[EMAIL]" in out
    assert b"bob" not in out


async def test_half_an_event_of_the_models_is_not_followed_by_a_comment_inside_of_it() -> None:
    stage = Stage()
    await stage.send(message(HANDOFF))
    whole = sse("good ", "morning")
    await stage.send(message(body=whole[:25]))
    await stage.clock.turn(15)
    await stage.send(message(body=whole[25:], end=True))
    out = await stage.over()
    assert out.startswith(COMMENT + b"data: {")
    assert content_of(out) == "good morning"


async def test_a_stream_that_waits_for_its_limit_beats() -> None:
    class Slow(Desk):
        async def extend(self, *_: Any, **__: Any) -> Any:
            await self.gate.wait()
            return "extended"

    stage = Stage()
    stage.desk.__class__ = Slow
    stage.desk.gate.clear()
    brief = HELD._replace(hold=HELD.hold._replace(amounts=(("tokens", 101),)))
    await stage.send(message(brief))
    await stage.send(message(body=sse("x" * 400, done=False)))
    assert stage.line.out() == b""
    await stage.clock.turn(30)
    assert stage.line.out() == COMMENT * 2
    stage.desk.gate.set()
    await stage.send(message(body=sse("y"), end=True))
    assert b"xxx" in await stage.over()


@pytest.mark.parametrize(
    ("plan", "changes", "body"),
    [
        (REDACT, {"content_type": "application/json"}, b"{"),
        (REDACT, {"content_type": "application/x-ndjson"}, b'{"a": "b"}\n'),
        (REDACT, {"content_type": "text/plain"}, b"hello "),
        (REDACT, {**SSE, "details": "direct_response"}, b"data: {}\n\n"),
        (SHADOW, SSE, b"data: {}\n\n"),
        (NOTHING, SSE, b"data: {}\n\n"),
        (BLOCK, SSE, sse("to bob@example.com now. ")),
    ],
    ids=["json", "lines", "text", "envoy's own", "shadow", "no ruleset", "blocked"],
)
def test_what_has_no_comments_is_not_ours_or_is_over_never_rests(
    plan: FilterPlan, changes: dict[str, Any], body: bytes
) -> None:
    subject = exchange(plan)
    assert not subject.beat
    subject.head(head(**changes))
    subject.sent += len(body_of(subject.body(body, end=False)))
    assert not subject.beat


async def test_none_is_sent_where_the_policy_wants_none() -> None:
    stage = Stage(every=0.0)
    await stage.send(message(HANDOFF))
    await stage.clock.turn(1000)
    assert await stage.over() == b""


async def test_a_client_that_is_gone_ends_the_beating_and_nothing_is_left_behind() -> None:
    class Gone(Record):
        async def write(self, response: Any) -> None:
            if self.sent:
                raise grpc.aio.UsageError("RPC already finished")
            await super().write(response)

    stage = Stage(line=Gone())
    await stage.send(message(HANDOFF))
    await stage.clock.turn(60)
    assert stage.told == 0
    before = asyncio.all_tasks()
    await stage.over()
    assert asyncio.all_tasks() <= before
    assert stage.desk.errors == []


def asked(plan: FilterPlan, handoff: Handoff) -> Exchange:
    """One whose usage only we asked for."""
    subject = exchange(plan)
    subject.request(RequestHead("POST", "/v1/chat/completions", "", body=True, handoff=handoff))
    subject.request_body(b'{"model": "small", "stream": true}')
    return subject


def test_no_comment_is_put_into_an_event_that_is_too_large_to_be_held() -> None:
    subject = asked(NOTHING, HELD)
    subject.head(head(**SSE))
    subject.sent += len(body_of(subject.body(b"data: " + b"x" * 300_000, end=False)))
    assert subject.sent
    assert not subject.beat
    subject.body(b"\n\ndata: y\n\n", end=False)
    assert subject.beat


@given(
    st.lists(st.text("ab @.com\n", max_size=12), max_size=5),
    st.lists(st.integers(0, 600), max_size=8),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
    st.sampled_from([(REDACT, False), (REDACT, True), (NOTHING, True), (SHADOW, True)]),
)
def test_a_comment_wherever_a_stream_rests_changes_no_event(
    texts: list[str], cuts: list[int], newline: bytes, how: tuple[FilterPlan, bool]
) -> None:
    plan, asks = how
    stream = sse(*texts).replace(b"\n", newline)
    subject = asked(plan, HELD) if asks else exchange(plan)
    plain = asked(plan, HELD) if asks else exchange(plan)
    subject.head(head(**SSE))
    plain.head(head(**SSE))
    places = [0, *sorted({cut for cut in cuts if cut < len(stream)}), len(stream)]
    out = want = b""
    for start, end in zip(places, [*places[1:], None], strict=True):
        last = end is None
        out += subject.beat
        told = body_of(subject.body(stream[start:end], end=last))
        subject.sent += len(told)
        out += told
        want += body_of(plain.body(stream[start:end], end=last))
    assert not subject.beat
    assert heard(out) == heard(want)
