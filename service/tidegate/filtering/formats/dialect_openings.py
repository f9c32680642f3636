"""Events that open a text and may carry its first piece: clients append the deltas that follow to what stands there.

OpenAI's responses and Anthropic's messages send it empty, other servers of these dialects do not always. What is held
of such a piece leaves in a delta, since nothing may be opened twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from tidegate.filtering.formats.json_text import Path

_BLOCKS: Final = {"text": "text_delta", "thinking": "thinking_delta"}
_ITEMS: Final = {
    "function_call": ("arguments", "response.function_call_arguments"),
    "mcp_call": ("arguments", "response.mcp_call_arguments"),
    "custom_tool_call": ("input", "response.custom_tool_call_input"),
    "code_interpreter_call": ("code", "response.code_interpreter_call_code"),
}
_PARTS: Final = {
    "output_text": ("text", "response.output_text"),
    "reasoning_text": ("text", "response.reasoning_text"),
    "refusal": ("refusal", "response.refusal"),
    "summary_text": ("text", "response.reasoning_summary_text"),
}
_PLACE: Final = ("sequence_number", "item_id", "output_index", "content_index", "summary_index")


class Opening(NamedTuple):
    """A first piece at `path`; `delta` is the event that would bring the next one, at `at`."""

    path: Path
    delta: dict[str, Any]
    at: Path


def openings(event: dict[str, Any]) -> Iterator[Opening]:
    """The first pieces that an event carries."""
    match event.get("type"):
        case "content_block_start":
            block = event.get("content_block")
            for name, kind in _BLOCKS.items():
                if _is_text(block, name):
                    piece = {"type": kind, name: ""}
                    delta = {"type": "content_block_delta", **_place(event, ("index",)), "delta": piece}
                    yield Opening(("content_block", name), delta, ("delta", name))
        case "response.output_item.added":
            yield from _first(event, "item", _ITEMS)
        case "response.content_part.added" | "response.reasoning_summary_part.added":
            yield from _first(event, "part", _PARTS)


def _first(event: dict[str, Any], holder: str, known: dict[str, tuple[str, str]]) -> Iterator[Opening]:
    opened = event.get(holder)
    kind = opened.get("type") if isinstance(opened, dict) else None
    if not isinstance(opened, dict) or not isinstance(kind, str) or kind not in known:
        return
    name, base = known[kind]
    if _is_text(opened, name):
        place = {"item_id": opened.get("id"), **_place(event, _PLACE)}
        yield Opening((holder, name), {"type": f"{base}.delta", **place, "delta": ""}, ("delta",))


def _place(event: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: event[name] for name in names if name in event}


def _is_text(node: Any, name: str) -> bool:
    return isinstance(node, dict) and isinstance(node.get(name), str) and node[name] != ""
