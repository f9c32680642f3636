"""Events of every dialect, how text is cut into them, and what a client reads of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from tests.filtering.formats.bodies import body, drive, payloads

Make = Callable[[str], Any]


def chat(field: str) -> Make:
    return lambda text: {"id": "c1", "created": 17, "choices": [{"index": 0, "delta": {field: text}}]}


def tool(text: str) -> Any:
    call = {"index": 1, "function": {"arguments": text}}
    return {"id": "c1", "choices": [{"index": 2, "delta": {"tool_calls": [call]}}]}


def legacy(text: str) -> Any:
    return {"choices": [{"text": text, "index": 0, "finish_reason": None}]}


def part(text: str) -> Any:
    return {"choices": [{"index": 0, "delta": {"content": [{"type": "text", "text": text}]}}]}


def block(text: str) -> Any:
    return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}


def partial(text: str) -> Any:
    return {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": text}}


def response(text: str) -> Any:
    return {"type": "response.output_text.delta", "item_id": "m", "output_index": 0, "content_index": 0, "delta": text}


def response_call(text: str) -> Any:
    return {"type": "response.function_call_arguments.delta", "item_id": "f", "output_index": 0, "delta": text}


FIELDS: dict[str, tuple[Make, Callable[[Any], Any]]] = {
    **{
        name: (chat(name), lambda event, name=name: event["choices"][0]["delta"][name])
        for name in ("content", "reasoning_content", "reasoning", "refusal")
    },
    "text": (legacy, lambda event: event["choices"][0]["text"]),
    "part": (part, lambda event: event["choices"][0]["delta"]["content"][0]["text"]),
    "block": (block, lambda event: event["delta"]["text"]),
    "response": (response, lambda event: event["delta"]),
}
JSON_FIELDS: dict[str, tuple[Make, Callable[[Any], Any]]] = {
    "tool": (tool, lambda event: event["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"]),
    "partial": (partial, lambda event: event["delta"]["partial_json"]),
    "response_call": (response_call, lambda event: event["delta"]),
}


def frame(event: Any, end: str = "\n") -> bytes:
    text = event if isinstance(event, str) else json.dumps(event, ensure_ascii=False)
    return f"data: {text}{end}{end}".encode()


def deltas(text: str, places: list[int]) -> list[str]:
    edges = sorted({place % (len(text) + 1) for place in places} | {0, len(text)})
    return [text[start:end] for start, end in pairwise(edges)] or [text]


def streamed(make: Make, read: Callable[[Any], Any], pieces: list[str], ending: bytes = b"") -> str:
    """What a client puts together from `pieces`."""
    out, failure = drive(body("sse"), [*(frame(make(piece)) for piece in pieces), ending])
    assert not failure
    return "".join(read(event) for event in payloads(out) if isinstance(event, dict))
