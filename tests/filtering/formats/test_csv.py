"""Rows and cells: every cutting, as any reader reads them, and nothing of what readers read in different ways."""

from __future__ import annotations

import csv
import io
from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tidegate.errors import BodyTooLarge, MalformedBody
from tidegate.filtering.rewriter import rewrite
from tidegate.filtering.ruleset import Action, FilterPlan

from tests.filtering.formats.bodies import BLOCK, PLAN, body, cut, drive
from tests.filtering.formats.texts import PLACES, TEXTS

ROWS = st.lists(st.lists(TEXTS, min_size=1, max_size=4), max_size=5)


def write(rows: list[list[str]], end: str, quoting: int) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator=end, quoting=quoting).writerows(rows)  # type: ignore[arg-type]
    return out.getvalue().encode()


def read(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode(), newline=""), strict=True))


@settings(deadline=None)
@given(
    ROWS,
    st.sampled_from(["\r\n", "\n"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    PLACES,
    st.integers(1, 3),
)
def test_every_cell_is_rewritten_as_a_text_of_its_own_however_the_bytes_are_cut(
    rows: list[list[str]], end: str, quoting: int, places: list[int], step: int
) -> None:
    data = write(rows, end, quoting)
    whole = body("csv")
    want = drive(whole, [data])
    assert want[1] == ""
    before, after = read(data), read(want[0])
    assert [len(row) for row in after] == [len(row) for row in before]
    for old, new in zip(chain(*before), chain(*after), strict=True):
        if old.lstrip(" \t\r\n")[:1] not in ("{", "["):
            assert new == rewrite(PLAN, old, key=b"k")
    for pieces in (cut(data, places), [data[i : i + step] for i in range(0, len(data), step)]):
        parts = body("csv")
        assert drive(parts, pieces) == want
        assert parts.coverage() == whole.coverage()
    receipt = whole.coverage()
    assert receipt.scanned_bytes + receipt.skipped_bytes == len(data)
    assert receipt.scanned_fields == sum(map(len, before))


@settings(deadline=None)
@given(st.text('",\r\n a@.1\ufeff', max_size=40) | st.binary(max_size=40).map(lambda b: b.decode("latin-1")), PLACES)
def test_junk_is_read_or_malformed(text: str, places: list[int]) -> None:
    data = text.encode("latin-1", "ignore")
    want = drive(body("csv"), [data])
    assert drive(body("csv"), cut(data, places)) == want
    if not want[1]:
        assert want[0] == data or b"[" in want[0]


@settings(deadline=None)
@given(ROWS, st.lists(st.tuples(st.integers(0, 4000), st.sampled_from([b'"', b",", b"\n", b""])), max_size=3), PLACES)
def test_no_value_is_left_in_what_leaves_of_a_damaged_body(
    rows: list[list[str]], damage: list[tuple[int, bytes]], places: list[int]
) -> None:
    data = write([*rows, ["zed@example.com", "zed@example.com, zed@example.com"]], "\n", csv.QUOTE_MINIMAL)
    for place, junk in damage:
        at = place % (len(data) + 1)
        data = data[:at] + junk + data[at:]
    out, failure = drive(body("csv"), cut(data, places))
    assert failure in ("", "malformed")
    assert b" zed@example.com" not in out
    assert b",zed@example.com" not in out


@settings(deadline=None)
@given(PLACES)
def test_a_value_over_lines_inside_quotes_is_one_value(places: list[int]) -> None:
    lines = ["-----BEGIN PRIVATE KEY-----", "MADEUP" * 10, "MADEUP" * 10, "-----END PRIVATE KEY-----"]
    plan = FilterPlan({"PRIVATE_KEY": Action.REDACT})
    data = write([["a", "\r\n".join(lines), 'say "x"']], "\r\n", csv.QUOTE_MINIMAL)
    assert drive(body("csv", plan), cut(data, places)) == (b'a,"[PRIVATE_KEY]","say ""x"""\r\n', "")


def test_rows_are_live() -> None:
    rewriter = body("csv")
    assert rewriter.streaming
    assert rewriter.feed(b'1,bob@example.com\n2,"x') == b"1,[EMAIL]\n"
    assert rewriter.feed(b'\ny"') == b""
    assert rewriter.feed(b"\n3") == b'2,"x\ny"\n'
    assert rewriter.finish() == b"3"


def test_what_precedes_a_fault_leaves_first() -> None:
    rewriter = body("csv")
    assert rewriter.feed(b'a,b\n"a"b\nc,d\n') == b"a,b\n"
    with pytest.raises(MalformedBody):
        rewriter.feed(b"more\n")
    assert rewriter.feed(b"more\n") == rewriter.finish() == b""


def test_what_is_held_is_one_row_and_bounded() -> None:
    rewriter = body("csv", max_event=100)
    assert rewriter.feed(b'a,"' + b"x" * 90) == b""
    with pytest.raises(BodyTooLarge):
        rewriter.feed(b"\n" * 10)
    assert rewriter.coverage().failure == "too_large"


def test_nothing_follows_a_block() -> None:
    rewriter = body("csv", BLOCK)
    assert rewriter.feed(b"a,b\nx,bob@example.com\nc,d\n") == b"a,b\n"
    assert rewriter.blocked is not None
    assert rewriter.blocked.where == "[1]"
    assert rewriter.feed(b"more\n") == rewriter.finish() == b""
    assert rewriter.abort("content_blocked", "x") == b""
