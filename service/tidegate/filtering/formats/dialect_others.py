"""Streams of model servers that speak neither OpenAI's nor Anthropic's present dialect.

Ollama, llama.cpp, Text Generation Inference, Triton, Gemini, Cohere, Bedrock, Dify, OpenAI's assistants, the AI SDK and
Anthropic's old completions. They differ in where the next piece stands and hardly in what it is called, so that they
are one walk over the names of all of them. What another dialect streams is read event by event, and so receipted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from tidegate.filtering.formats.json_text import Path

_PIECES: Final = frozenset(
    {"answer", "completion", "content", "delta", "generation", "outputText", "response", "text", "textDelta"}
    | {"text_output", "thinking", "value"}
)
_HOLDERS: Final = frozenset(
    {"candidates", "content", "contentBlockDelta", "delta", "message", "parts", "reasoningContent", "text", "token"}
)
NAMES: Final = _PIECES | _HOLDERS
# Of the events that name their type, those that carry pieces.
_DELTAS: Final = frozenset(
    {"completion", "content-delta", "reasoning-delta", "text-delta", "tool-input-delta", "tool-plan-delta"}
)
_CUMULATIVE: Final = "meta_info"  # SGLang: each event repeats the whole text
_ENDS: Final = frozenset({"content-end", "finish", "message-end", "reasoning-end", "text-end", "tool-input-end"})
_END_FLAGS: Final = ("done", "stop", "is_finished", "generated_text", "stop_reason", "messageStop", "contentBlockStop")
_MAX_DEPTH: Final = 8


def pieces(event: dict[str, Any]) -> Iterator[tuple[Path, Path]]:
    """The places of the pieces in an event, and what the client joins each of them by."""
    kind = event.get("type")
    if _CUMULATIVE in event or (isinstance(kind, str) and kind not in _DELTAS):
        return
    # A bare `index` counts tokens in some of them, hence only a typed event's is a name.
    own = event.get("contentBlockIndex") if kind is None else event.get("id", event.get("index"))
    yield from _walk(event, (), (str(kind), str(own)))


def ends(event: dict[str, Any]) -> bool:
    """Whether nothing follows on any of its texts."""
    kind, candidates = event.get("type"), event.get("candidates")
    return (
        (isinstance(kind, str) and kind in _ENDS)
        or any(event.get(flag) for flag in _END_FLAGS)
        or str(event.get("object")).endswith(".completed")
        or (
            isinstance(candidates, list)
            and any(isinstance(one, dict) and bool(one.get("finishReason")) for one in candidates)
        )
    )


def is_ollama(event: dict[str, Any]) -> bool:
    """Whether this is Ollama's generate or chat: tool calls and all else but the text come whole, in one line each."""
    text = isinstance(event.get("response"), str) or isinstance(event.get("message"), dict)
    return text and type(event.get("done")) is bool


def _walk(node: Any, path: Path, channel: Path) -> Iterator[tuple[Path, Path]]:
    if len(path) > _MAX_DEPTH:
        return
    if isinstance(node, dict):
        for name, value in node.items():
            if isinstance(value, str):
                if name in _PIECES:
                    yield (*path, name), (*channel, name)
            elif name in _HOLDERS:
                yield from _walk(value, (*path, name), (*channel, name))
    elif isinstance(node, list):
        for place, value in enumerate(node):
            index = value.get("index", place) if isinstance(value, dict) else place
            yield from _walk(value, (*path, place), (*channel, index if isinstance(index, int) else place))
