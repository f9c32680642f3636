"""Where a response holds the text of the model's answer, and its tool calls, in each API that is known.

OpenAI's chat completions, completions and responses; Anthropic's messages; Ollama's chat and generate; Gemini's
generateContent; the one text of Triton and Text Generation Inference. Shapes are as their API references give them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal, NamedTuple

from tidegate.filtering.formats.json_text import Path

CALLS: Final = frozenset(
    {"function_call", "mcp_call", "custom_tool_call", "tool_use", "server_tool_use", "mcp_tool_use"}
)
"""The types of items and blocks that call a tool."""


class Part(NamedTuple):
    """An answer's text, or the arguments of a call of the tool `name`, at `path`.

    A string is JSON by itself, but where `plain`: there an object belongs.
    """

    kind: Literal["answer", "call"]
    path: Path
    value: Any
    name: str = ""
    plain: bool = False


def parts(document: Any) -> tuple[Part, ...] | None:
    """Every answer and tool call of a parsed response; None where it is of no API that is known.

    A message that has neither, and is no refusal, has the empty text for its answer.
    """
    if not isinstance(document, dict):
        return None
    readers = [
        reader for reader in (_choices, _output, _blocks, _ollama, _candidates, _plain) if reader.knows(document)
    ]
    return tuple([part for reader in readers for part in reader.read(document)]) if readers else None


class _Reader(NamedTuple):
    knows: Any
    read: Any


def _message(message: Any, path: Path) -> Iterator[Part]:
    """A message of a chat: OpenAI's, Ollama's, or a delta that carries a whole one."""
    if not isinstance(message, dict):
        yield Part("answer", path, "")
        return
    found = [*_content(message.get("content"), (*path, "content")), *_calls(message, path)]
    if not found and not message.get("refusal"):
        found = [Part("answer", (*path, "content"), "")]
    yield from found


def _content(content: Any, path: Path) -> Iterator[Part]:
    if isinstance(content, str) and content:
        yield Part("answer", path, content)
    elif isinstance(content, list):
        for place, part in enumerate(content):
            if isinstance(part, dict) and isinstance(part.get("text"), str):
                yield Part("answer", (*path, place, "text"), part["text"])


def _calls(message: dict[str, Any], path: Path) -> Iterator[Part]:
    calls = message.get("tool_calls")
    for place, call in enumerate(calls if isinstance(calls, list) else ()):
        if isinstance(call, dict):
            yield from _function(call.get("function"), (*path, "tool_calls", place, "function"))
            yield from _function(call.get("custom"), (*path, "tool_calls", place, "custom"), "input")
    yield from _function(message.get("function_call"), (*path, "function_call"))


def _function(call: Any, path: Path, field: str = "arguments") -> Iterator[Part]:
    if isinstance(call, dict):
        yield Part("call", (*path, field), call.get(field), str(call.get("name")))


def _read_choices(document: dict[str, Any]) -> Iterator[Part]:
    for place, choice in enumerate(document["choices"]):
        path: Path = ("choices", place)
        text = choice.get("text") if isinstance(choice, dict) else None
        if isinstance(text, str):
            yield Part("answer", (*path, "text"), text)
        if not isinstance(text, str) or choice.get("message") is not None:  # a client reads the one that it knows
            yield from _message(choice.get("message") if isinstance(choice, dict) else None, (*path, "message"))


def items(output: list[Any], path: Path) -> Iterator[Part]:
    """The items of OpenAI's responses, or of Anthropic's content."""
    for place, item in enumerate(output):
        if isinstance(item, dict):
            yield from item_parts(item, (*path, place))


def item_parts(item: dict[str, Any], path: Path) -> Iterator[Part]:
    """One such item."""
    match item.get("type"):
        case "message":
            yield from items(item["content"], (*path, "content")) if isinstance(item.get("content"), list) else ()
        case "text" | "output_text" if isinstance(item.get("text"), str) and item["text"]:
            yield Part("answer", (*path, "text"), item["text"])
        case "function_call" | "mcp_call":
            yield Part("call", (*path, "arguments"), item.get("arguments"), str(item.get("name")))
        case "custom_tool_call":
            yield Part("call", (*path, "input"), item.get("input"), str(item.get("name")))
        case "tool_use" | "server_tool_use" | "mcp_tool_use":
            yield Part("call", (*path, "input"), item.get("input"), str(item.get("name")), plain=True)


def _read_output(document: dict[str, Any]) -> Iterator[Part]:
    found = list(items(document["output"], ("output",)))
    if not found and not _has(document["output"], "refusal"):
        found = [Part("answer", ("output",), "")]
    yield from found


def _read_blocks(document: dict[str, Any]) -> Iterator[Part]:
    found = list(items(document["content"], ("content",)))
    if not found and document.get("stop_reason") != "refusal":
        found = [Part("answer", ("content",), "")]
    yield from found


def _read_ollama(document: dict[str, Any]) -> Iterator[Part]:
    if isinstance(document.get("response"), str):
        yield Part("answer", ("response",), document["response"])
    if "message" in document:
        yield from _message(document["message"], ("message",))


def _read_candidates(document: dict[str, Any]) -> Iterator[Part]:
    for place, candidate in enumerate(document["candidates"]):
        content = candidate.get("content") if isinstance(candidate, dict) else None
        listed = content.get("parts") if isinstance(content, dict) else None
        path: Path = ("candidates", place, "content", "parts")
        if not isinstance(listed, list) or not listed:
            yield Part("answer", path, "")
            continue
        for index, part in enumerate(listed):
            if isinstance(part, dict) and isinstance(part.get("text"), str) and not part.get("thought"):
                yield Part("answer", (*path, index, "text"), part["text"])
            elif isinstance(part, dict) and isinstance(part.get("functionCall"), dict):
                call = part["functionCall"]
                where = (*path, index, "functionCall", "args")
                yield Part("call", where, call.get("args"), str(call.get("name")), plain=True)


def _read_plain(document: dict[str, Any]) -> Iterator[Part]:
    for name in _TEXTS:
        if isinstance(document.get(name), str):
            yield Part("answer", (name,), document[name])


def _has(output: list[Any], kind: str) -> bool:
    contents = [item.get("content") for item in output if isinstance(item, dict)]
    parts_ = [part for content in contents if isinstance(content, list) for part in content if isinstance(part, dict)]
    return any(part.get("type") == kind for part in parts_)


_TEXTS = ("text_output", "generated_text")
_choices = _Reader(lambda one: isinstance(one.get("choices"), list) and one["choices"], _read_choices)
_output = _Reader(lambda one: isinstance(one.get("output"), list), _read_output)
_blocks = _Reader(lambda one: isinstance(one.get("content"), list), _read_blocks)
_ollama = _Reader(
    lambda one: isinstance(one.get("message"), dict) or isinstance(one.get("response"), str), _read_ollama
)
_candidates = _Reader(lambda one: isinstance(one.get("candidates"), list) and one["candidates"], _read_candidates)
_plain = _Reader(lambda one: any(isinstance(one.get(name), str) for name in _TEXTS), _read_plain)
