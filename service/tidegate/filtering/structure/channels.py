"""Which text of an event stream is the model's answer, which are the arguments of a tool call, and of which tool."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

from tidegate.filtering.formats.dialect import Channel
from tidegate.filtering.formats.json_text import Path
from tidegate.filtering.structure.answers import CALLS, Part, item_parts, items, parts

Kind = Literal["answer", "call", "refusal", "other"]

_THOUGHTS: Final = frozenset({"thinking", "reasoningContent", "reasoning-delta", "reasoning"})
_RESPONSE: Final = "response."
_ARGUMENTS_DONE: Final = {
    "response.function_call_arguments.done": "arguments",
    "response.mcp_call_arguments.done": "arguments",
    "response.custom_tool_call_input.done": "input",
}


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
        case ("other", "tool-input-delta", *_):
            return "call"
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


def named(event: dict[str, Any]) -> Iterator[tuple[tuple[Channel, ...], str]]:
    """The names of tools whose calls an event begins, each with what it is kept under."""
    kind = event.get("type")
    if isinstance(event.get("choices"), list):
        yield from (((key,), call["name"]) for key, _, call in _calls(event) if _is_text(call, "name"))
    elif kind == "response.output_item.added" and isinstance(event.get("item"), dict):
        item = event["item"]
        if item.get("type") in CALLS and _is_text(item, "name"):
            own = _ident(item, "id", 0)
            yield (("item", _ident(event, "output_index", own)), ("item", own)), item["name"]
    elif kind == "content_block_start" and isinstance(event.get("content_block"), dict):
        block = event["content_block"]
        if block.get("type") in CALLS and _is_text(block, "name"):
            yield (("block", _ident(event, "index", 0)),), block["name"]


def _calls(event: dict[str, Any]) -> Iterator[tuple[Channel, Path, dict[str, Any]]]:
    """The calls in an event of a chat: what the tool's name is kept under, the place of the call, and the call."""
    for place, choice in enumerate(event["choices"]):
        for holder in ("delta", "message"):
            message = choice.get(holder) if isinstance(choice, dict) else None
            if not isinstance(message, dict):
                continue
            key: Channel = ("choice", _ident(choice, "index", place))
            path: Path = ("choices", place, holder)
            listed = message.get("tool_calls")
            for number, call in enumerate(listed if isinstance(listed, list) else ()):
                for kind in ("function", "custom") if isinstance(call, dict) else ():
                    if isinstance(call.get(kind), dict):
                        own = (*key, "tool_calls", _ident(call, "index", number))
                        yield own, (*path, "tool_calls", number, kind), call[kind]
            if isinstance(message.get("function_call"), dict):
                yield (*key, "function_call"), (*path, "function_call"), message["function_call"]


def whole_parts(event: dict[str, Any], names: Mapping[Channel, str]) -> Iterator[Part]:
    """The answers and calls that an event brings whole, beside or instead of pieces. `names` are those told so far."""
    kind = event.get("type")
    if isinstance(kind, str) and kind.startswith(_RESPONSE):
        if kind == "response.output_text.done" and isinstance(event.get("text"), str):
            yield Part("answer", ("text",), event["text"])
        elif kind in _ARGUMENTS_DONE and isinstance(event.get(field := _ARGUMENTS_DONE[kind]), str):
            own = _ident(event, "item_id", 0)
            name = names.get(("item", _ident(event, "output_index", own))) or names.get(("item", own), "")
            yield Part("call", (field,), event[field], name)
        elif kind == "response.content_part.done" and isinstance(event.get("part"), dict):
            yield from item_parts(event["part"], ("part",))
        elif kind == "response.output_item.done" and isinstance(event.get("item"), dict):
            yield from item_parts(event["item"], ("item",))
        elif kind in ("response.completed", "response.incomplete") and isinstance(event.get("response"), dict):
            output = event["response"].get("output")
            yield from items(output, ("response", "output")) if isinstance(output, list) else ()
    elif kind != "content_block_start" and not isinstance(event.get("choices"), list):
        yield from (part for part in parts(event) or () if part.kind == "call")


def objects(event: dict[str, Any]) -> Iterator[tuple[Channel, Part]]:
    """Arguments that come at once, as what they are and not as text, each with what the tool's name is kept under."""
    if isinstance(event.get("choices"), list):
        for key, path, call in _calls(event):
            for field in ("arguments", "input"):
                if call.get(field) is not None and not isinstance(call[field], str):
                    yield key, Part("call", (*path, field), call[field])
    elif event.get("type") == "content_block_start" and isinstance(event.get("content_block"), dict):
        block = event["content_block"]
        if block.get("input"):
            calls = (part for part in item_parts(block, ("content_block",)) if part.kind == "call")
            yield from ((("block", _ident(event, "index", 0)), part) for part in calls)


def is_known(event: Any) -> bool:
    """Whether an event is of an API whose answers would be found, or is none that could hold one."""
    if not isinstance(event, dict):
        return False
    kind = event.get("type")
    if isinstance(event.get("choices"), list) or event.get("error") or kind in ("error", "ping"):
        return True
    return isinstance(kind, str) and kind.startswith((_RESPONSE, "message_", "content_block_"))


def _is_text(node: dict[str, Any], name: str) -> bool:
    return isinstance(node.get(name), str) and node[name] != ""


def _ident(node: dict[str, Any], name: str, default: str | int) -> str | int:
    value = node.get(name)
    return value if isinstance(value, str | int) else default
