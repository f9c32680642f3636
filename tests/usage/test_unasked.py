"""A client that did not ask for usage sees the stream that it would have seen, however it is cut."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tidegate.usage.unasked import WholeEvents, WithoutUsage

TEXT = 'data: {"id":"c","choices":[{"index":0,"delta":{"content":"Hi \\"usage\\":null, "}}]%s}'
USAGE = '"usage":{"prompt_tokens":1.0,"completion_tokens":2,"x":{"a":[1]}}'
LAST = f'data: {{"id":"c","choices":[],{USAGE}}}'


def run(subject: WholeEvents, parts: Iterable[bytes]) -> bytes:
    return b"".join([*(subject.feed(part) for part in parts), subject.finish()])


def hidden(stream: str, *, continuous: bool = False) -> str:
    return run(WithoutUsage(continuous=continuous), [stream.encode()]).decode()


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_the_chunk_that_only_tells_usage_is_hidden(end: str) -> None:
    blank = end + end
    stream = blank.join([TEXT % "", LAST, "data: [DONE]", ""])
    assert hidden(stream) == blank.join([TEXT % "", "data: [DONE]", ""])


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        (TEXT % ',"usage":null', TEXT % ""),
        (TEXT % ', "usage" : null , "n": 1', TEXT % ' , "n": 1'),
        ('data: {"choices":[{"text":"\\ud83d"}],"usage":null}', 'data: {"choices":[{"text":"\\ud83d"}]}'),
        ('data:{"usage":null, "choices":[]}', 'data:{ "choices":[]}'),
        (': note\nevent: x\ndata: {"choices":[],"usage":null}\nid: 7', ': note\nevent: x\ndata: {"choices":[]}\nid: 7'),
    ],
)
def test_a_usage_of_null_is_hidden(sent: str, seen: str) -> None:
    assert hidden(sent + "\n\n") == seen + "\n\n"


@pytest.mark.parametrize(
    "event",
    [
        TEXT % f",{USAGE}",  # told without being asked: DeepSeek, Mistral
        'data: {"type":"message_delta","usage":{"output_tokens":3}}',
        'data: {"choices":[],"usage":{"prompt_tokens":1},"error":{"message":"out of memory"}}',
        'data: {"choices":[],"usage":3}',
        'data: {"usage":null}',
        'data: "usage"',
        'data: {"usage"',
        ': "usage"',
        'data: {"choices":[1],\ndata: "usage":null}',
        'data: {"choices":[1],"usage":null,"usage":null}',
    ],
)
def test_what_is_no_answer_to_our_question_stays(event: str) -> None:
    assert hidden(event + "\n\n") == event + "\n\n"


def test_usage_in_every_chunk_is_hidden_where_only_our_question_brought_it() -> None:
    stream = "\n\n".join([TEXT % f",{USAGE}", LAST, ""])
    assert hidden(stream, continuous=True) == "\n\n".join([TEXT % "", ""])


def test_a_last_event_without_an_end_is_hidden_too() -> None:
    assert hidden(LAST) == ""
    assert hidden(TEXT % "") == TEXT % ""


_LINE_ENDS = st.sampled_from(["\n", "\r\n", "\r"])
_EVENTS = st.sampled_from(
    [
        (TEXT % "", True),
        (TEXT % f",{USAGE}", True),
        (": ping", True),
        ("event: x", True),
        ('data: {"choices":[],\ndata: "usage":1}', True),
        ("data: [DONE]", True),
        ("", True),
        (LAST, False),
        (f'data: {{"choices":[],\ndata: {USAGE}}}', False),
    ]
)


@settings(deadline=None)
@given(st.lists(_EVENTS, max_size=6), _LINE_ENDS, st.lists(st.integers(0, 2000), max_size=12), st.booleans())
def test_however_a_stream_is_cut_the_same_is_hidden(
    events: list[tuple[str, bool]], end: str, places: list[int], ended: bool
) -> None:
    frames = [(text.replace("\n", end) + end + end, stays) for text, stays in events]
    stream = "".join(frame for frame, _ in frames).encode()
    stream = stream if ended or not events else stream[: -2 * len(end)]
    edges = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    parts = [stream[start:stop] for start, stop in itertools.pairwise(edges)]
    assert run(WholeEvents(), parts) == stream
    out = run(WithoutUsage(continuous=False), parts)
    assert out == run(WithoutUsage(continuous=False), [stream])
    kept = "".join(frame for frame, stays in frames if stays).encode()
    blanks = str.maketrans("", "", "\r\n")
    assert out.decode().translate(blanks) == kept.decode().translate(blanks)
    if ended and ("", True) not in events:
        assert out == kept


@settings(deadline=None)
@given(st.lists(st.integers(0, 400), max_size=8))
def test_only_whole_events_come_out(places: list[int]) -> None:
    stream = "".join(f"data: {n}\r\n\r\n" for n in range(40)).encode()
    edges = [0, *sorted(place % len(stream) for place in places), len(stream)]
    subject = WholeEvents()
    for start, stop in itertools.pairwise(edges):
        out = subject.feed(stream[start:stop])
        assert out == b"" or out.endswith(b"\r\n\r\n")
        assert not subject.inside


def test_an_event_that_is_too_long_passes_as_it_comes() -> None:
    long = b"data: " + b"x" * 300_000
    for size in (1000, 100_000, 300_000):
        subject = WithoutUsage(continuous=False)
        out = b""
        for at in range(0, len(long), size):
            out += subject.feed(long[at : at + size])
        assert len(out) > 0
        assert subject.inside
        out += subject.feed(b"\n\n" + LAST.encode() + b"\n\nx")
        assert not subject.inside
        assert out + subject.finish() == long + b"\n\nx"
