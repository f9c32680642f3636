"""Structures and responses that the tests share. All data is made up."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from tidegate.filtering.structure.demand import Act, Shape, Structure
from tidegate.filtering.structure.schema import Schema

CITY = Schema(
    {
        "type": "object",
        "properties": {"city": {"type": "string"}, "mail": {"type": "string", "format": "email"}},
        "required": ["city"],
        "additionalProperties": False,
    }
)
GOOD = '{"city": "Oslo"}'
BAD = '{"city": 7}'


def answer(act: Act = "block") -> Structure:
    return Structure(answer=Shape(CITY, act))


def body(schema: Any, act: Act = "block") -> Structure:
    return Structure(body=Shape(Schema(schema), act))


def tools(act: Act = "block", others: Act | None = "block") -> Structure:
    return Structure(tools=MappingProxyType({"lookup": Shape(CITY, act)}), others=others)


def chat(text: Any, **message: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": {"role": "assistant", "content": text, **message}}]}


def call(arguments: Any, name: str = "lookup") -> dict[str, Any]:
    return {"id": "c1", "type": "function", "function": {"name": name, "arguments": arguments}}


# How each API holds one answer, and the place of it.
ANSWERS: dict[str, Any] = {
    "chat": chat,
    "chat parts": lambda text: chat([{"type": "text", "text": text}]),
    "completions": lambda text: {"choices": [{"index": 0, "text": text}]},
    "responses": lambda text: {
        "object": "response",
        "output": [
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "no JSON"}]},
            {"type": "message", "content": [{"type": "output_text", "text": text, "annotations": []}]},
        ],
    },
    "messages": lambda text: {
        "type": "message",
        "content": [{"type": "thinking", "thinking": "no JSON"}, {"type": "text", "text": text}],
    },
    "ollama chat": lambda text: {"model": "m", "message": {"role": "assistant", "content": text}, "done": True},
    "ollama generate": lambda text: {"model": "m", "response": text, "done": True},
    "gemini": lambda text: {"candidates": [{"content": {"parts": [{"thought": True, "text": "no"}, {"text": text}]}}]},
    "triton": lambda text: {"model_name": "m", "text_output": text},
}
# How each API holds a call of a tool: as JSON text, or as an object.
CALLS_AS_TEXT: dict[str, Any] = {
    "chat": lambda given, name="lookup": chat(None, tool_calls=[call(given, name)]),
    "chat legacy": lambda given, name="lookup": chat(None, function_call={"name": name, "arguments": given}),
    "responses": lambda given, name="lookup": {
        "output": [{"type": "function_call", "name": name, "arguments": given, "call_id": "c"}]
    },
}
CALLS_AS_OBJECTS: dict[str, Any] = {
    "messages": lambda given, name="lookup": {
        "type": "message",
        "content": [{"type": "tool_use", "id": "t", "name": name, "input": given}],
    },
    "gemini": lambda given, name="lookup": {
        "candidates": [{"content": {"parts": [{"functionCall": {"name": name, "args": given}}]}}]
    },
}
