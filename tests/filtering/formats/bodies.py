"""What the tests of the formats share: plans, one way to run a body, and one way to read an event stream."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml
from tidegate.errors import BodyTooLarge, MalformedBody
from tidegate.filtering.formats import BodyRewriter, open_body
from tidegate.filtering.ruleset import Action, FilterPlan

PLAN = FilterPlan({"EMAIL": Action.REDACT, "CREDIT_CARD": Action.REDACT})
BLOCK = FilterPlan({"EMAIL": Action.BLOCK, "CREDIT_CARD": Action.REDACT})
TYPES = {
    "json": "application/json",
    "csv": "text/csv",
    "ndjson": "application/x-ndjson",
    "sse": "text/event-stream",
    "text": "text/plain",
}
CASES = Path(__file__).parents[2] / "cases"


def cases(name: str) -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = yaml.safe_load((CASES / f"{name}.yaml").read_text())
    return loaded


def body(kind: str, plan: FilterPlan = PLAN, **options: Any) -> BodyRewriter:
    rewriter = open_body(TYPES[kind], plan, **{"key": b"k", "max_bytes": 1 << 20, **options})
    assert rewriter is not None
    return rewriter


def drive(rewriter: BodyRewriter, pieces: Iterable[bytes]) -> tuple[bytes, str]:
    """All that leaves, and the word for how it failed or ""."""
    out = b""
    try:
        for piece in pieces:
            out += rewriter.feed(piece)
        out += rewriter.finish()
    except MalformedBody:
        return out, "malformed"
    except BodyTooLarge:
        return out, "too_large"
    return out, ""


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    edges = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(edges)]


def payloads(stream: bytes) -> list[Any]:
    """The data of every event, parsed where it is JSON, read as a browser reads it."""
    found: list[Any] = []
    for frame in stream.decode().split("\n\n"):
        lines = [line.removeprefix("data:").removeprefix(" ") for line in frame.split("\n") if line.startswith("data:")]
        if lines:
            text = "\n".join(lines)
            found.append(json.loads(text) if text[:1] in "{" and text else text)
    return found
