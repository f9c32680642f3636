"""Which text of an event stream is the model's answer, which are the arguments of a tool call, and of which tool."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal

from tidegate.filtering.formats.dialect import Channel
from tidegate.filtering.structure.answers import Part, item_parts, items, parts

Kind = Literal["answer", "call", "refusal", "other"]

_THOUGHTS: Final = frozenset({"thinking", "reasoningContent", "reasoning-delta", "reasoning"})
_RESPONSE: Final = "response."


def kind_of(channel: Channel) -> Kind:
    """What the text of a channel is."""
    match channel:
        case ("choice", _, "text"):
            return "answer"
        case ("choice", _, _, *path):
            return _of_message(path)
        case ("item", _, _, str(base), *_):
            if base.endswith("_arguments") or base == "response.custom_tool_call_input":
                return "call"
            return {"response.output_text": "answer", "response.refusal": "refusal"}.get(base, "other")  # type: ignore[return-value]
        case ("block", _, str(field)):
            return {"text": "answer", "partial_json": "call"}.get(field, "other")  # type: ignore[return-value]
        case ("other", str(kind), _, *path):
            return "other" if kind in _THOUGHTS or not _THOUGHTS.isdisjoint(map(str, path)) else "answer"
        case ("string",):
            return "answer"
    return "other"


def _of_message(path: list[str | int]) -> Kind:
    names = [step for step in path if isinstance(step, str)]
    if names[:1] == ["refusal"]:
        return "refusal"
    if names[:1] in (["tool_calls"], ["function_call"]):
        return "call" if names[-1] in ("arguments", "input") else "other"
    return "answer" if names in (["content"], ["content", "text"]) else "other"


def call_of(channel: Channel) -> Channel:
    """What the name of the tool is kept under whose arguments come on a channel."""
    match channel:
        case ("choice", index, _, "tool_calls", place, *_):
            return ("choice", index, "tool_calls", place)
        case ("choice", index, _, *_):
            return ("choice", index, "function_call")
    return channel[:2]


def named(event: dict[str, Any]) -> Iterator[tuple[Channel, str]]:
    """The names of tools that an event tells, by what they are kept under."""
    kind = event.get("type")
    if isinstance(event.get("choices"), list):
        for place, choice in enumerate(event["choices"]):
            if isinstance(choice, dict):
                yield from _named_in(choice, _ident(choice, "index", place))
    elif kind == "response.output_item.added" and isinstance(event.get("item"), dict):
        item = event["item"]
        if isinstance(item.get("name"), str):
            yield ("item", _ident(event, "output_index", _ident(item, "id", 0))), item["name"]
            yield ("item", _ident(item, "id", 0)), item["name"]
    elif kind == "content_block_start" and isinstance(event.get("content_block"), dict):
        block = event["content_block"]
        if isinstance(block.get("name"), str):
            yield ("block", _ident(event, "index", 0)), block["name"]


def _named_in(choice: dict[str, Any], index: str | int) -> Iterator[tuple[Channel, str]]:
    for holder in ("delta", "message"):
        message = choice.get(holder)
        if not isinstance(message, dict):
            continue
        calls = message.get("tool_calls")
        for place, call in enumerate(calls if isinstance(calls, list) else ()):
            for kind in ("function", "custom"):
                function = call.get(kind) if isinstance(call, dict) else None
                if isinstance(function, dict) and isinstance(function.get("name"), str) and function["name"]:
                    yield ("choice", index, "tool_calls", _ident(call, "index", place)), function["name"]
        legacy = message.get("function_call")
        if isinstance(legacy, dict) and isinstance(legacy.get("name"), str) and legacy["name"]:
            yield ("choice", index, "function_call"), legacy["name"]


def whole_parts(event: dict[str, Any]) -> Iterator[Part]:
    """The answers and calls that an event brings whole, beside or instead of pieces."""
    kind = event.get("type")
    if isinstance(kind, str) and kind.startswith(_RESPONSE):
        if kind == "response.output_text.done" and isinstance(event.get("text"), str):
            yield Part("answer", ("text",), event["text"])
        elif kind == "response.content_part.done" and isinstance(event.get("part"), dict):
            yield from item_parts(event["part"], ("part",))
        elif kind == "response.output_item.done" and isinstance(event.get("item"), dict):
            yield from item_parts(event["item"], ("item",))
        elif kind in ("response.completed", "response.incomplete") and isinstance(event.get("response"), dict):
            output = event["response"].get("output")
            yield from items(output, ("response", "output")) if isinstance(output, list) else ()
    elif kind == "content_block_start" and isinstance(event.get("content_block"), dict):
        block = event["content_block"]
        if block.get("input"):  # a server that does not stream it
            yield from (part for part in item_parts(block, ("content_block",)) if part.kind == "call")
    elif "choices" not in event:
        yield from (part for part in parts(event) or () if part.kind == "call")


def is_known(event: Any) -> bool:
    """Whether an event is of an API whose answers would be found, or is none that could hold one."""
    if not isinstance(event, dict):
        return False
    kind = event.get("type")
    if isinstance(event.get("choices"), list) or "error" in event or kind in ("error", "ping"):
        return True
    return isinstance(kind, str) and kind.startswith((_RESPONSE, "message_", "content_block_"))


def _ident(node: dict[str, Any], name: str, default: str | int) -> str | int:
    value = node.get(name)
    return value if isinstance(value, str | int) else default
