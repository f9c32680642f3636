"""Which format reads what, and the words of the receipt."""

from __future__ import annotations

import pytest
from tidegate.filtering.formats import Coverage, open_body
from tidegate.filtering.formats.media_type import format_of
from tidegate.filtering.ruleset import FilterPlan

from tests.filtering.formats.bodies import PLAN


@pytest.mark.parametrize(
    ("content_type", "want"),
    [
        ("application/json", "json"),
        ("Application/JSON; Charset=UTF-8", "json"),
        ("application/problem+json", "json"),
        ("text/json", "json"),
        ('application/vnd.api+json ; charset="utf-8" ; x="a;b=\\"c"', "json"),
        ("text/event-stream", "sse"),
        ("text/event-stream;charset=utf-8", "sse"),
        ("text/plain", "text"),
        ("text/plain;", "text"),
        ("text/csv; header=present; charset=utf-8", "csv"),
        ("application/csv", "csv"),
        ("text/csv; charset=utf-16", ""),
        ("text/tab-separated-values", "text"),
        ("TEXT/Markdown; charset=us-ascii", "text"),
        ('text/html; a="b;charset=latin1"', "text"),
        ("", ""),
        ("json", ""),
        ("application/json, text/plain", ""),
        ("application/json text/plain", ""),
        ("text/plain; charset=latin1", ""),
        ("text/event-stream; charset=utf-16", ""),
        ("application/json; charset=utf-7", ""),
        ("text/plain; charset=utf-8; charset=utf-16", ""),
        ('text/plain; charset="utf-8', ""),
        ("application/octet-stream", ""),
        ("application/x-ndjson", "ndjson"),
        ("application/jsonl; charset=utf-8", "ndjson"),
        ("application/x-ndjson; charset=latin1", ""),
        ("application/stream+json", "ndjson"),
        ("application/json-seq", ""),
        ("image/png", ""),
    ],
)
def test_content_types(content_type: str, want: str) -> None:
    assert format_of(content_type) == want
    rewriter = open_body(content_type, PLAN, max_bytes=100)
    assert (rewriter.coverage().format if rewriter else "") == want
    assert rewriter is None or rewriter.streaming == (want != "json")


def test_without_rules_a_body_passes_and_is_not_called_scanned() -> None:
    rewriter = open_body("text/event-stream", FilterPlan({}), max_bytes=10)
    assert rewriter is not None
    assert rewriter.feed(b"data: {bob@example.com") == b"data: {bob@example.com"
    assert rewriter.finish() == b""
    assert rewriter.coverage().header() == "format=sse; scanned=0; skipped=22; fields=0; unread=no_ruleset:1"


def test_the_header_is_ascii_and_cannot_be_broken_out_of() -> None:
    receipt = Coverage("json", 12, 3, 2, 1, {"number": 1, "\r\n": 2}, {("EMAIL", "redact"): 2, ("É;", "x"): 1}, "f: g")
    assert receipt.header() == (
        "format=json; scanned=12; skipped=3; fields=2; unread=__:2,number:1; "
        "findings=EMAIL:redact:2,__:x:1; failure=f__g"
    )
