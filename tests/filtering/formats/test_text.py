"""Plain text, live."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate.errors import MalformedBody
from tidegate.filtering.rewriter import rewrite

from tests.filtering.formats.bodies import BLOCK, PLAN, body, cut, drive
from tests.filtering.formats.texts import PLACES, TEXTS


@given(TEXTS, PLACES)
def test_every_cutting_gives_what_the_whole_text_gives(text: str, places: list[int]) -> None:
    rewriter = body("text")
    out, failure = drive(rewriter, cut(text.encode(), places))
    assert not failure
    assert out.decode() == rewrite(PLAN, text, key=b"k")
    receipt = rewriter.coverage()
    assert (receipt.scanned_bytes, receipt.skipped_bytes) == (len(text.encode()), 0)


@given(TEXTS, st.binary(max_size=6), PLACES)
def test_text_that_is_not_utf8_is_malformed(text: str, junk: bytes, places: list[int]) -> None:
    data = text.encode() + junk
    try:
        want = rewrite(PLAN, data.decode(), key=b"k")
    except UnicodeDecodeError as fault:
        rewriter = body("text")
        out, failure = drive(rewriter, cut(data, places))
        assert failure == "malformed"
        assert rewrite(PLAN, data[: fault.start].decode(), key=b"k").startswith(out.decode())
        receipt = rewriter.coverage()
        assert receipt.scanned_bytes + receipt.skipped_bytes <= len(data)
    else:
        assert drive(body("text"), cut(data, places)) == (want.encode(), "")


def test_text_is_live() -> None:
    rewriter = body("text")
    assert rewriter.streaming
    assert rewriter.feed(b"Hello, you. Write to bob@") == b"Hello, you. Write to "
    assert rewriter.feed(b"example.com, please. ") == b"[EMAIL], please. "


def test_what_precedes_a_fault_leaves_first() -> None:
    rewriter = body("text")
    assert rewriter.feed(b"fine, \xff") == b"fine, "
    with pytest.raises(MalformedBody):
        rewriter.feed(b"more")
    assert rewriter.feed(b"more") == rewriter.finish() == b""


def test_a_character_that_is_cut_off_is_malformed() -> None:
    rewriter = body("text")
    assert rewriter.feed("fine, é".encode()[:-1]) == b"fine, "
    with pytest.raises(MalformedBody):
        rewriter.finish()


def test_nothing_follows_a_block() -> None:
    rewriter = body("text", BLOCK)
    assert rewriter.feed(b"Write to bob@example.com, ") == b"Write to "
    assert rewriter.blocked is not None
    assert rewriter.feed(b"more") == rewriter.finish() == b""
    assert rewriter.abort("content_blocked", "x") == b""
    assert rewriter.coverage().failure == "content_blocked"


def test_the_receipt_does_not_claim_what_stands_behind_a_block() -> None:
    rewriter = body("text", BLOCK)
    rewriter.feed(b"Write to ")
    rewriter.feed(b"bob@example.com, " + b"or not, " * 1000)
    receipt = rewriter.coverage()
    assert rewriter.blocked is not None
    assert (receipt.scanned_bytes, receipt.skipped_bytes) == (9, 17 + 8000)
