"""Documents a line: every cutting of bytes and of pieces, nothing unread, nothing after the line that ends a text."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tidegate.errors import BodyTooLarge, MalformedBody
from tidegate.filtering.rewriter import rewrite

from tests.filtering.formats.bodies import BLOCK, PLAN, body, cut, drive
from tests.filtering.formats.events import deltas
from tests.filtering.formats.texts import PLACES, PROSE, TEXTS, VALUES, strings, write

Make = Callable[[str, bool], Any]


def generate(text: str, done: bool) -> Any:
    return {"model": "m", "created_at": "2026-01-01T00:00:00Z", "response": text, "done": done}


def chat(text: str, done: bool) -> Any:
    return {"model": "m", "created_at": "t", "message": {"role": "assistant", "content": text}, "done": done}


def thinking(text: str, done: bool) -> Any:
    return {"message": {"role": "assistant", "content": "", "thinking": text}, "done": done}


TEXT_OF: dict[str, tuple[Make, Callable[[Any], str]]] = {
    "generate": (generate, lambda line: line["response"]),
    "chat": (chat, lambda line: line["message"]["content"]),
    "thinking": (thinking, lambda line: line["message"]["thinking"]),
}


def line(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode() + b"\n"


def documents(out: bytes) -> list[Any]:
    return [json.loads(row) for row in out.split(b"\n") if row.strip()]


@pytest.mark.parametrize("field", TEXT_OF)
@settings(deadline=None)
@given(PROSE, PLACES, st.booleans())
def test_however_lines_cut_a_text_the_client_gets_it_before_the_line_that_ends_it(
    field: str, text: str, places: list[int], done: bool
) -> None:
    make, read = TEXT_OF[field]
    rows = [line(make(piece, False)) for piece in deltas(text, places)]
    out, failure = drive(body("ndjson"), [*rows, *([line(make("", True))] if done else [])])
    assert not failure
    found = documents(out)
    assert "".join(map(read, found)) == rewrite(PLAN, text, key=b"k")
    assert [row["done"] for row in found] == [False] * (len(found) - done) + [True] * done
    assert not done or read(found[-1]) == ""


LINES = st.one_of(
    st.tuples(st.sampled_from(sorted(TEXT_OF)), TEXTS, st.booleans()).map(lambda row: TEXT_OF[row[0]][0](*row[1:])),
    VALUES,
)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    seed = draw(st.integers(0, 1 << 16))
    out = ""
    for document in draw(st.lists(LINES, max_size=6)):
        out += write(document, seed).replace("\n", " ") + draw(st.sampled_from(["\n", "\r\n", "\n\n", " \n"]))
    return (out if draw(st.booleans()) else out.rstrip("\r\n")).encode()


@settings(deadline=None)
@given(bodies(), PLACES, st.integers(1, 3))
def test_every_cutting_of_the_bytes_gives_the_same(data: bytes, places: list[int], step: int) -> None:
    whole = body("ndjson")
    want = drive(whole, [data])
    assert want[1] == ""
    for pieces in (cut(data, places), [data[i : i + step] for i in range(0, len(data), step)]):
        rewriter = body("ndjson")
        assert drive(rewriter, pieces) == want
        assert rewriter.coverage() == whole.coverage()
    receipt = whole.coverage()
    assert receipt.scanned_bytes + receipt.skipped_bytes == len(data)
    assert 0 <= receipt.scanned_bytes <= len(data)


@settings(deadline=None)
@given(bodies())
def test_no_value_is_left_in_any_line(data: bytes) -> None:
    email = "zed@example.com"
    added = line(generate(f" {email} ", False)) + line({"any": [{email: f"{email}!"}]})
    out, failure = drive(body("ndjson"), [data + b"\n", added])
    assert not failure
    assert not any(email in found for document in documents(out) for found in strings(document))


@settings(deadline=None)
@given(bodies(), st.lists(st.tuples(st.integers(0, 4000), st.binary(max_size=3)), max_size=3), PLACES)
def test_broken_bodies_are_read_or_malformed(data: bytes, damage: list[tuple[int, bytes]], places: list[int]) -> None:
    for place, junk in damage:
        at = place % (len(data) + 1)
        data = data[:at] + junk + data[at + 1 :]
    assert drive(body("ndjson"), cut(data, places)) == drive(body("ndjson"), [data])


def test_lines_are_live() -> None:
    rewriter = body("ndjson")
    assert rewriter.streaming
    assert rewriter.feed(line(generate("Hello. ", False))[:-1]) == b""
    assert documents(rewriter.feed(b"\n")) == [generate("Hello. ", False)]


def test_what_precedes_a_fault_leaves_first_and_nothing_after() -> None:
    rewriter = body("ndjson")
    good = line(generate("Hello. ", False))
    assert rewriter.feed(good + b'{"bob@example.com\n' + good) == good
    with pytest.raises(MalformedBody):
        rewriter.feed(good)
    assert rewriter.feed(good) == rewriter.finish() == b""


def test_a_line_that_is_too_long_never_leaves() -> None:
    rewriter = body("ndjson", max_event=100)
    assert rewriter.feed(b'{"a":"' + b"x" * 90) == b""
    with pytest.raises(BodyTooLarge):
        rewriter.feed(b"x" * 90)
    assert rewriter.coverage().failure == "too_large"


def test_what_is_held_is_bounded() -> None:
    rewriter = body("ndjson", max_bytes=20_000, max_event=1000)
    rows = [line({"choices": [{"index": number, "delta": {"content": "bob@exam"}}]}) for number in range(100)]
    out, failure = drive(rewriter, rows)
    assert failure == "too_large"
    assert b"bob" not in out


def test_a_block_ends_the_body_with_a_line_that_says_so() -> None:
    rewriter = body("ndjson", BLOCK)
    out = rewriter.feed(line(generate("Write to bob@", False)) + line(generate("example.com, ", False)))
    assert [row["response"] for row in documents(out)] == ["Write to "]
    assert rewriter.blocked is not None
    assert rewriter.blocked.where == "response"
    assert rewriter.feed(line(generate("more", True))) == rewriter.finish() == b""
    assert documents(rewriter.abort("content_blocked", "Blocked.")) == [
        {"error": "Blocked.", "code": "content_blocked"}
    ]


def test_a_block_by_the_last_line_keeps_what_was_clean() -> None:
    rewriter = body("ndjson", BLOCK)
    out = rewriter.feed(line(generate("Write to bob@exam", False)) + line(generate("ple.com", True)))
    assert [(row["response"], row["done"]) for row in documents(out)] == [("Write to ", False)]
    assert rewriter.blocked is not None
