"""A megabyte of hostile structure costs linear time. Bounds are generous: machines are shared and slow."""

from __future__ import annotations

import gzip
import json
from time import process_time

import pytest
from tidegate.filtering.formats import decoded
from tidegate.filtering.ruleset import Action, FilterPlan
from tidegate.filtering.selection import selection_of

from tests.filtering.formats.bodies import PLAN, body, drive

CHOSEN = FilterPlan({"EMAIL": Action.REDACT}, selection_of(["/a"], ["/b/*/c"], keys=True))
DEEP = (b"[" * 900, b"]" * 900)


def rows(row: bytes, size: int) -> bytes:
    return row * (size // len(row) + 1)


HOSTILE = {
    "lines of nothing": ("ndjson", PLAN, lambda size: rows(b"{}\n", size)),
    "lines of numbers": ("ndjson", PLAN, lambda size: rows(b"[" + b"1," * 100_000 + b"1]\n", size)),
    "blank lines": ("ndjson", PLAN, lambda size: rows(b"\n", size)),
    "keys": ("ndjson", PLAN, lambda size: b"".join(b'{"k%d":"v"}\n' % n for n in range(size // 14))),
    "deep events": ("sse", PLAN, lambda size: rows(b"data: " + (b"1," * 50_000).join(DEEP) + b"\n\n", size)[:-2]),
    "commas": ("csv", PLAN, lambda size: rows(b"," * 100_000 + b"\n", size)),
    "quotes": ("csv", PLAN, lambda size: rows(b'"' * 100_000 + b"\n", size)),
    "quoted lines": ("csv", PLAN, lambda size: rows(b'"' + b"\n" * 100_000 + b'"\n', size)),
    "short rows": ("csv", PLAN, lambda size: rows(b"a\n", size)),
    "chosen fields, deep": ("json", CHOSEN, lambda size: b'{"a":' + (b"1," * (size // 2) + b"1").join(DEEP) + b"}"),
    "chosen fields, many": ("json", CHOSEN, lambda size: b'{"a":[' + b'"",' * (size // 3) + b"1]}"),
}


def seconds(name: str, size: int) -> float:
    kind, plan, make = HOSTILE[name]
    data = make(size)
    rewriter = body(kind, plan, max_bytes=1 << 24)
    start = process_time()
    drive(rewriter, [data[at : at + 16_384] for at in range(0, len(data), 16_384)])
    return process_time() - start


@pytest.mark.parametrize("name", HOSTILE)
def test_a_megabyte_of_the_worst_is_linear(name: str) -> None:
    small = min(seconds(name, 1 << 17) for _ in range(2))
    large = seconds(name, 1 << 20)
    assert large < 8
    assert large / max(small, 0.02) < 8 * 4


def test_a_compressed_body_byte_by_byte_is_linear() -> None:
    packed = gzip.compress(bytes(range(32, 127)) * 1400, 0)
    rewriter = decoded(body("text", max_bytes=1 << 24), "gzip")
    start = process_time()
    out, failure = drive(rewriter, [packed[at : at + 1] for at in range(len(packed))])
    assert process_time() - start < 8
    assert (len(out), failure) == (133_000, "")


def test_what_ends_costs_no_look_at_all_that_runs() -> None:
    """Texts and names that are never over, and after each an event that ends others."""
    deltas = ({"content": "a"}, {"tool_calls": [{"index": 0, "function": {"name": "look"}}]})
    rest = {"index": -1, "delta": {"content": "b"}, "finish_reason": "stop"}

    def seconds(count: int) -> float:
        choices = [one for n in range(count) for one in ({"index": n, "delta": deltas[n % 2]}, rest)]
        events = [f"data: {json.dumps({'choices': [one]})}\n\n".encode() for one in choices]
        rewriter = body("sse", max_bytes=1 << 24)
        start = process_time()
        for event in events:
            rewriter.feed(event)
        return process_time() - start

    small = min(seconds(200) for _ in range(3))
    assert min(seconds(3200) for _ in range(2)) < 16 * 3 * max(small, 0.01)
