"""A stream that is silent says that it lives: between events, where it is rewritten anyway, and nowhere else."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any, cast

import grpc
import pytest
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc
from hypothesis import given
from hypothesis import strategies as st
from tidegate.admission.queue.fair_queue import FairQueue
from tidegate.admission.queue.places import MemoryPlaces
from tidegate.clock import Clock, SystemClock
from tidegate.envoy.commands import RequestHead
from tidegate.envoy.exchange import Exchange
from tidegate.envoy.handoff import Handoff
from tidegate.envoy.heartbeats import Heartbeats
from tidegate.envoy.holds import Holds
from tidegate.envoy.keeping import Keeping
from tidegate.envoy.places import Places
from tidegate.envoy.process import ProcessServicer
from tidegate.filtering.formats.beats import COMMENT
from tidegate.filtering.ruleset import FilterPlan

from tests.envoy.priced import HELD
from tests.envoy.served import Desk, Record, Undecided, message
from tests.envoy.test_holds import Turned
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


class Hands(Turned):
    """The same clock, to be read."""

    def monotonic(self) -> float:
        return self.now


class Stage:
    """A servicer whose stream a test feeds a message at a time, and what it wrote."""

    def __init__(
        self, *, every: float = 15.0, make: Callable[[], Exchange] = exchange, line: Record | None = None
    ) -> None:
        self.clock, self.line, self.desk, self.told = Hands(), line or Record(), Desk(), 0
        self._queue: asyncio.Queue[ext_proc.ProcessingRequest | None] = asyncio.Queue()
        places = FairQueue(MemoryPlaces(SystemClock()), SystemClock(), where="m")
        servicer = ProcessServicer(
            exchange=make,
            decisions=Undecided(),
            keeping=Keeping(
                settlements=self.desk.settlements(),
                holds=Holds(
                    self.desk, record=lambda *_: None, on_error=self.desk.errors.append, sleep=self.clock.sleep
                ),
                places=Places(places, record=lambda *_: None, on_error=self.desk.errors.append),
            ),
            on_error=self.desk.errors.append,
            heartbeats=Heartbeats(
                lambda: every, clock=cast(Clock, self.clock), record=self._tell, sleep=self.clock.sleep
            ),
        )
        self.running = asyncio.create_task(servicer.process(self._messages(), self.line))

    def _tell(self) -> None:
        self.told += 1

    async def _messages(self) -> AsyncIterator[ext_proc.ProcessingRequest]:
        while (given := await self._queue.get()) is not None:
            yield given

    async def send(self, given: ext_proc.ProcessingRequest | None) -> None:
        self._queue.put_nowait(given)
        for _ in range(20):
            await asyncio.sleep(0)

    async def over(self) -> bytes:
        await self.send(None)
        await asyncio.gather(self.running, return_exceptions=True)
        return self.line.out()


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


OLLAMA = {"content_type": "application/x-ndjson"}
CHAT = {"model": "m", "created_at": "2026-01-01T00:00:00Z", "message": {"role": "assistant", "content": "so bob@exa"}}


def lines(*documents: dict[str, Any]) -> bytes:
    return "".join(f"{json.dumps(document)}\n" for document in documents).encode()


@pytest.mark.parametrize(
    ("document", "want"),
    [
        ({**CHAT, "done": False}, {**CHAT, "message": {"role": "assistant", "content": ""}, "done": False}),
        ({"model": "m", "response": "hi ", "done": False}, {"model": "m", "response": "", "done": False}),
        ({"response": "hi ", "context": [1, 2], "done": False}, {"response": "", "done": False}),
    ],
)
def test_lines_of_ollama_are_followed_by_one_without_text(document: dict[str, Any], want: dict[str, Any]) -> None:
    subject = exchange(REDACT)
    subject.head(head(**OLLAMA))
    assert subject.beat == b""  # nothing has left that says which of its calls this is
    subject.sent += len(body_of(subject.body(lines(document), end=False)))
    assert json.loads(subject.beat) == want
    assert b"bob" not in subject.beat


@pytest.mark.parametrize(
    ("plan", "body"),
    [
        (REDACT, b'{"a": "b"}\n'),
        (REDACT, b'["response", "b"]\n'),
        (REDACT, lines({**CHAT, "done": True})),
        (REDACT, lines({**CHAT, "done": False}) + b"\n"),
        (REDACT, lines({"response": ["x"], "done": False})),
        (REDACT, lines({"error": "no such model"})),
        (SHADOW, lines({**CHAT, "done": False})),
        (NOTHING, lines({**CHAT, "done": False})),
        (BLOCK, lines({**CHAT, "done": False}, {"message": {"content": "mple.com now"}, "done": False})),
    ],
)
def test_other_lines_those_that_end_and_those_that_leave_as_they_came_are_followed_by_none(
    plan: FilterPlan, body: bytes
) -> None:
    subject = exchange(plan)
    subject.head(head(**OLLAMA))
    subject.sent += len(body_of(subject.body(body, end=False)))
    assert subject.beat == b""


def patient(plan: FilterPlan = REDACT) -> Exchange:
    """Of an endpoint whose clients pass over empty lines."""
    return replace(exchange(plan), blank_lines=lambda handoff: handoff.endpoint == HANDOFF.endpoint)


@pytest.mark.parametrize(
    "body", [b"", b'{"a": "b"}\n', lines({"choices": [{"delta": {"content": "bob@exa"}}]}), lines({"error": "x"})]
)
def test_other_lines_are_followed_by_an_empty_one_where_the_endpoints_clients_pass_over_those(body: bytes) -> None:
    subject = patient()
    subject.head(head(**OLLAMA))
    subject.sent += len(body_of(subject.body(body, end=False)))
    assert subject.beat == b"\n"


def test_lines_of_ollama_are_still_followed_by_one_of_theirs() -> None:
    subject = patient()
    subject.head(head(**OLLAMA))
    subject.sent += len(body_of(subject.body(lines({**CHAT, "done": False}), end=False)))
    assert json.loads(subject.beat)["message"]["content"] == ""


@pytest.mark.parametrize(
    ("plan", "kind", "body"),
    [
        (SHADOW, OLLAMA, b'{"a": "b"}\n'),
        (NOTHING, OLLAMA, b'{"a": "b"}\n'),
        (BLOCK, OLLAMA, b'{"a": "bob@example.com"}\n'),
        (REDACT, {"content_type": "text/csv"}, b"a,b\r\n"),
        (REDACT, {"content_type": "text/plain"}, b"a\n"),
        (REDACT, {"content_type": "application/json"}, b'{"a": "b"}'),
    ],
)
def test_no_empty_line_stands_in_what_is_no_lines_of_ours(plan: FilterPlan, kind: dict[str, str], body: bytes) -> None:
    subject = patient(plan)
    subject.head(head(**kind))
    subject.sent += len(body_of(subject.body(body, end=False)))
    assert subject.beat == b""


@given(
    st.lists(st.text("ab @.com\n", max_size=12), max_size=5),
    st.lists(st.integers(0, 600), max_size=8),
    st.booleans(),
)
def test_an_empty_line_wherever_one_may_stand_adds_nothing(texts: list[str], cuts: list[int], chat: bool) -> None:
    said = [{"message": {"role": "assistant", "content": text}} if chat else {"response": text} for text in texts]
    stream = lines(*({"model": "m", **each, "done": False} for each in said), {"model": "m", "done": True})
    subject, plain = exchange(REDACT), exchange(REDACT)
    subject.head(head(**OLLAMA))
    plain.head(head(**OLLAMA))
    places = [0, *sorted({cut for cut in cuts if cut < len(stream)}), len(stream)]
    out = want = b""
    for start, end in zip(places, [*places[1:], None], strict=True):
        out += subject.beat
        out += body_of(subject.body(stream[start:end], end=end is None))
        want += body_of(plain.body(stream[start:end], end=end is None))

    def answered(raw: bytes) -> tuple[str, list[bool]]:
        documents = [json.loads(line) for line in raw.splitlines()]
        text = "".join(one.get("response", "") + one.get("message", {}).get("content", "") for one in documents)
        return text, [one["done"] for one in documents if one["done"]]

    assert subject.beat == b""
    assert answered(out) == answered(want)


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
