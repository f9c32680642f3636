"""How long text waits is measured from when it came to when it left, whatever it waited for."""

from __future__ import annotations

from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate.clock import Clock
from tidegate.envoy.hold_back import HoldBack
from tidegate.filtering.formats import Progress, open_body

from tests.envoy.clock import Turned
from tests.envoy.world import REDACT, SHADOW, exchange, head, sse


class Waits:
    def __init__(self) -> None:
        self.clock = Turned()
        self.told: list[float] = []
        self.once: list[tuple[str, float]] = []
        self.subject = HoldBack(
            cast(Clock, self.clock), self.told.append, lambda what, seconds: self.once.append((what, seconds))
        )

    def step(self, at: float, progress: Progress, took: float = 0.0) -> None:
        self.clock.now = at
        self.subject.came()
        self.clock.now += took
        self.subject.left(progress)


def test_a_piece_waits_until_its_last_character_left_and_no_longer() -> None:
    waits = Waits()
    waits.step(1.0, Progress(5, 0))
    waits.step(2.0, Progress(9, 4))
    waits.step(3.0, Progress(12, 4))
    waits.step(5.0, Progress(12, 3))
    waits.step(6.0, Progress(12, 0))
    assert waits.told == [0.0, 3.0, 3.0]


def test_what_it_takes_to_read_counts() -> None:
    waits = Waits()
    waits.step(1.0, Progress(5, 0), took=0.25)
    assert waits.told == [0.25]


def test_the_first_text_is_told_of_once_from_when_it_came_to_when_any_of_it_left() -> None:
    waits = Waits()
    waits.step(1.0, Progress(0, 0))  # headers
    waits.step(2.0, Progress(3, 3))
    waits.step(3.0, Progress(6, 6))
    assert waits.once == []
    waits.step(3.5, Progress(9, 7), took=0.25)
    waits.step(4.0, Progress(12, 0))
    assert waits.once == [("first", 1.75)]


def test_work_is_what_we_took_and_not_what_the_model_took() -> None:
    waits = Waits()
    for at in (1.0, 5.0, 9.0):
        waits.step(at, Progress(int(at), 0), took=0.25)
    waits.subject.over()
    assert waits.once == [("first", 0.25), ("work", 0.75)]


def test_a_body_that_is_read_whole_is_not_measured() -> None:
    waits = Waits()
    subject = exchange(REDACT)
    subject.head(head())
    subject.body(b'{"a": "bob@example.com"}', end=True)
    waits.step(1.0, subject.progress)
    assert waits.told == []
    shadow = exchange(SHADOW)
    shadow.head(head(content_type="text/event-stream"))
    shadow.body(sse("hello"), end=True)
    waits.step(2.0, shadow.progress)
    assert waits.told == []


@pytest.mark.parametrize("kind", ["text/event-stream", "application/x-ndjson", "text/plain"])
def test_what_is_held_is_known_at_every_moment(kind: str) -> None:
    subject = exchange(REDACT)
    subject.head(head(content_type=kind))
    text = "write to bob@example.com today. "
    if kind == "text/plain":
        pieces = [char.encode() for char in text]
    else:
        lines = sse(*text, done=False).split(b"\n\n")[:-1]
        framed = kind == "text/event-stream"
        pieces = [line + b"\n\n" if framed else line.removeprefix(b"data: ") + b"\n" for line in lines]
    held = []
    for count, piece in enumerate(pieces, 1):
        subject.body(piece, end=False)
        taken, now = subject.progress
        assert taken == count
        held.append(now)
    assert held[text.index("@")] >= len("bob@")
    assert max(held) <= len("bob@example.com ")
    subject.body(b"", end=True)
    assert subject.progress == Progress(len(text), 0)


@given(st.lists(st.text("ab @.com4", max_size=9), max_size=8))
def test_every_piece_that_came_has_left_at_the_end_and_none_before_it_came(deltas: list[str]) -> None:
    waits = Waits()
    body = open_body("text/event-stream", REDACT, max_bytes=1 << 20)
    assert body is not None
    came = 0
    for at, text in enumerate(deltas):
        body.feed(sse(text, done=False))
        came += bool(text)
        waits.step(float(at), body.progress)
        assert 0 <= body.progress.held <= body.progress.taken
    body.finish()
    waits.step(float(len(deltas)), body.progress)
    assert body.progress == Progress(len("".join(deltas)), 0)
    assert bool(came) <= len(waits.told) <= came  # blanks before a text count when it begins
    assert all(0 <= wait <= len(deltas) for wait in waits.told)
