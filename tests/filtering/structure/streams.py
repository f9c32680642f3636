"""Streams that are held to a structure: their answers by API, how each ends, and what leaves of one."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Literal

from tidegate.filtering.formats import BodyRewriter, open_body
from tidegate.filtering.ruleset import Action, FilterPlan
from tidegate.filtering.structure.demand import Structure
from tidegate.filtering.structure.opening import structured

from tests.filtering.formats.bodies import TYPES
from tests.filtering.formats.events import block, chat, frame, legacy, part, response
from tests.filtering.structure.bodies import GOOD

NOTHING = FilterPlan({})
REDACT = FilterPlan({"EMAIL": Action.REDACT})
DONE = frame("[DONE]")
Kind = Literal["sse", "ndjson"]


def held(structure: Structure, plan: FilterPlan = NOTHING, kind: Kind = "sse", cap: int = 1 << 20) -> BodyRewriter:
    inner = open_body(TYPES[kind], plan, key=b"k", max_bytes=cap)
    assert inner is not None
    made = structured(inner, TYPES[kind], structure, max_bytes=cap)
    assert made is not None
    return made


def run(rewriter: BodyRewriter, pieces: list[bytes]) -> tuple[bytes, str, bool]:
    """What leaves, the verdict, and whether it was blocked."""
    out = b""
    for piece in pieces:
        out += rewriter.feed(piece)
        if rewriter.blocked is not None:
            break
    else:
        out += rewriter.finish()
    return out, rewriter.coverage().structure, rewriter.blocked is not None


def line(text: str, *, done: bool = False) -> bytes:
    return json.dumps({"model": "m", "message": {"role": "assistant", "content": text}, "done": done}).encode() + b"\n"


def finish(index: int = 0, reason: str = "stop") -> bytes:
    return frame({"choices": [{"index": index, "delta": {}, "finish_reason": reason}]})


STOP = frame({"type": "content_block_stop", "index": 0})
OUTPUT_DONE = frame(
    {"type": "response.output_text.done", "item_id": "m", "output_index": 0, "content_index": 0, "text": GOOD}
)
ANSWERS: dict[str, tuple[Callable[[str], Any], bytes]] = {
    "chat": (chat("content"), finish() + DONE),
    "completions": (legacy, DONE),
    "parts": (part, finish() + DONE),
    "messages": (block, STOP),
    "responses": (response, OUTPUT_DONE),
}


def named_tool(name: str) -> bytes:
    call = {"index": 1, "id": "c", "type": "function", "function": {"name": name, "arguments": ""}}
    return frame({"choices": [{"index": 2, "delta": {"tool_calls": [call]}}]})
