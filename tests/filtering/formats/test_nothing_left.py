"""Wherever an API puts a value, no form of it is left anywhere in what leaves, however the body is cut."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.filtering.formats.bodies import body, drive

VALUE = "bob@example.com"
FIRST, SECOND = "bob@exa", "mple.com"
FORMS = (
    VALUE,
    FIRST,
    "bob\\u0040",
    "bob%40",
    "bob&#64;",
    base64.b64encode(VALUE.encode()).decode()[:12],
    "4111",
    "34313131",
)


def _chunk(delta: dict[str, Any], **choice: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, **choice}]}


def _call(arguments: str, **more: Any) -> dict[str, Any]:
    return _chunk({"tool_calls": [{"index": 0, "function": {"arguments": arguments}, **more}]})


def _responses(kind: str, **place: Any) -> list[dict[str, Any]]:
    at = {"type": f"response.{kind}.delta", "item_id": "i", "output_index": 0, **place}
    return [{**at, "delta": FIRST}, {**at, "delta": SECOND}]


def _block(kind: str, name: str, first: str = FIRST, second: str = SECOND) -> list[dict[str, Any]]:
    return [
        {"type": "content_block_delta", "index": 1, "delta": {"type": kind, name: text}} for text in (first, second)
    ]


TOKEN = {"token": FIRST, "bytes": list(FIRST.encode()), "logprob": -1.0}
EVENTS: dict[str, list[Any]] = {
    "chat": [_chunk({"content": FIRST}), _chunk({"content": SECOND})],
    "two texts of one choice": [_chunk({"content": FIRST}, text=FIRST), _chunk({"content": SECOND}, text=SECOND)],
    "two pieces in one event": [{"choices": [{"index": 0, "delta": {"content": text}} for text in (FIRST, SECOND)]}],
    "an index that is no integer": [
        {"choices": [{"index": n, "delta": {"content": t}}]} for n, t in ((0, FIRST), (0.0, SECOND))
    ],
    "unknown fields of a delta": [_chunk({"custom": FIRST}), _chunk({"custom": SECOND})],
    "tool-call arguments": [_call('{"to": "' + FIRST), _call(SECOND + '"}')],
    "arguments cut inside of an escape": [_call('{"to": "bob\\u00'), _call('40example.com"}')],
    "legacy function call": [_chunk({"function_call": {"arguments": text}}) for text in (FIRST, SECOND)],
    "log probabilities": [
        _chunk({"content": FIRST}, logprobs={"content": [{**TOKEN, "top_logprobs": [TOKEN]}]}),
        _chunk({"content": SECOND}, logprobs={"content": []}),
    ],
    "strings beside the text": [
        {
            "id": VALUE,
            "model": VALUE,
            "system_fingerprint": VALUE,
            "usage": {"note": VALUE},
            **_chunk({"refusal": VALUE}),
        }
    ],
    "responses": [
        *_responses("output_text", content_index=0),
        {"type": "response.output_text.done", "text": VALUE, "logprobs": [TOKEN]},
        {"type": "response.completed", "response": {"output": [{"content": [{"text": VALUE}]}], "output_text": VALUE}},
    ],
    "responses, reasoning": _responses("reasoning_summary_text", summary_index=0),
    "responses, arguments": _responses("function_call_arguments"),
    "responses, mcp": _responses("mcp_call_arguments"),
    "responses, code": _responses("code_interpreter_call_code"),
    "responses, custom tools": _responses("custom_tool_call_input"),
    "anthropic": _block("text_delta", "text"),
    "anthropic, a block that opens with text": [
        {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": FIRST}},
        *_block("text_delta", "text", SECOND, ""),
    ],
    "anthropic, thinking": _block("thinking_delta", "thinking"),
    "anthropic, input": _block("input_json_delta", "partial_json", '{"a": "bob\\', 'u0040example.com"}'),
    "anthropic, citations": [
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "citations_delta", "citation": {"cited_text": VALUE}},
        }
    ],
    "gemini": [{"candidates": [{"content": {"parts": [{"text": text}]}}]} for text in (FIRST, SECOND)],
    "triton generate": [{"text_output": FIRST}, {"text_output": SECOND}],
    "text generation inference": [
        {"token": {"id": 1, "text": FIRST}, "generated_text": None},
        {"token": {"id": 2, "text": SECOND}, "generated_text": VALUE},
    ],
}
LINES: dict[str, list[Any]] = {
    "ollama chat": [{"message": {"content": FIRST}, "done": False}, {"message": {"content": SECOND}, "done": True}],
    "ollama thinking": [{"message": {"thinking": text, "content": ""}, "done": False} for text in (FIRST, SECOND)],
    "ollama generate": [{"response": FIRST, "done": False}, {"response": SECOND, "done": False}],
    "ollama tools": [{"message": {"tool_calls": [{"function": {"arguments": {VALUE: VALUE}}}]}, "done": True}],
    "errors": [{"error": VALUE}],
}
DOCUMENTS: dict[str, Any] = {
    "chat": {
        "choices": [
            {"message": {"content": VALUE, "tool_calls": [{"function": {"arguments": json.dumps({"a": VALUE})}}]}}
        ]
    },
    "log probabilities": {
        "choices": [
            {
                "text": VALUE,
                "logprobs": {"tokens": [FIRST, SECOND], "top_logprobs": [{FIRST: -1}], "content": [TOKEN]},
            }
        ]
    },
    "kserve": {
        "outputs": [{"datatype": "BYTES", "data": [VALUE, [VALUE], base64.b64encode(VALUE.encode()).decode()]}],
        "parameters": {VALUE: 1},
    },
    "tensorflow serving": {
        "predictions": [{"text": VALUE}, [VALUE], {"b64": base64.b64encode(VALUE.encode()).decode()}]
    },
    "keys": {VALUE: {"x": {VALUE: VALUE}}},
    "JSON in JSON in JSON": {"a": json.dumps({"b": json.dumps({"c": VALUE})})},
    "numbers in base16": {"a": int(b"4111111111111111".hex()), "b": f"[{b'4111 1111 1111 1111'.hex()}]"},
    "numbers": {"a": 4111111111111111, "b": -4111111111111111, "c": 4111111111111111.0, "d": "4111 1111 1111 1111"},
    "gemini": {"candidates": [{"content": {"parts": [{"functionCall": {"args": {"a": VALUE}}}]}}]},
}


def _bodies() -> Iterator[Any]:
    for name, events in EVENTS.items():
        raw = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
        yield pytest.param("sse", raw + "data: [DONE]\n\n", id=f"sse: {name}")
        yield pytest.param("sse", raw.replace("\n", "\r\n").removesuffix("\r\n\r\n"), id=f"sse, cut off: {name}")
    for name, lines in LINES.items():
        yield pytest.param("ndjson", "".join(f"{json.dumps(line)}\n" for line in lines), id=f"ndjson: {name}")
    for name, document in DOCUMENTS.items():
        yield pytest.param("json", json.dumps(document), id=f"json: {name}")
    written = (
        '{"a":"bob\\u0040example.com","b\\u006fb@example.com":"\\u0062ob@example\\u002ecom",'
        '"c":"bob\\\\u0040example.com"}'
    )
    yield pytest.param("json", written, id="json: escapes")
    yield pytest.param(
        "csv", f'a,b\n"{VALUE}",1\n{VALUE},4111 1111 1111 1111\n"bob""@example.com","x\n{VALUE}"\n', id="csv"
    )
    frames = f": {VALUE}\nid: {VALUE}\nevent: {VALUE}\ndata: hi\n\n{VALUE}: x\n\ndata: {FIRST}\n\ndata: {SECOND}\n\n"
    yield pytest.param("sse", frames, id="sse: every part of a frame")


def _texts(out: str) -> str:
    """All strings of what left, in order: what a client puts together of it."""
    found: list[str] = []

    def walk(node: Any) -> None:
        if isinstance(node, str):
            found.append(node)
        elif isinstance(node, dict):
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    for line in out.splitlines():
        try:
            walk(json.loads(line.removeprefix("data:")))
        except ValueError:
            found.append(line)
    return "".join(found)


@pytest.mark.parametrize(("kind", "raw"), list(_bodies()))
@pytest.mark.parametrize("size", [0, 1, 7])
def test_no_form_of_a_value_is_left(kind: str, raw: str, size: int) -> None:
    data = raw.encode()
    pieces = [data[at : at + size] for at in range(0, len(data), size)] if size else [data]
    out, failure = drive(body(kind), pieces)
    assert not failure
    said = out.decode()
    assert [form for form in FORMS if form in said or form in _texts(said)] == []
