"""OpenAI's streams tell their usage only to who asks (API reference, chat and completions, `stream_options`): so ask.

The request is edited as text. What is not ours to say keeps its bytes: the order of keys, the form of numbers, fields
that nobody here knows, other stream options.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from tidegate.errors import MalformedBody
from tidegate.filtering.formats.json_text import members, parse
from tidegate.policy.routes import REST, segments, variable
from tidegate.usage.parts import has_too_many_parts

MAX_MEMBERS: Final = 256
"""Fields of a request; one with more, several times what any API takes, is not edited, so that nobody waits for it."""

_PLACE: Final = "completions"
_ASK: Final = '"include_usage":true'


class Asked(NamedTuple):
    """A request that asks for usage. `continuous` means that its events will then tell it too, one by one (vLLM)."""

    body: bytes
    continuous: bool


def takes_stream_options(path: str) -> bool:
    """Whether `path` (with or without a query) is that of OpenAI's chat or completions, under any prefix."""
    return path.partition("?")[0].rstrip("/").endswith(f"/{_PLACE}")


def may_take_stream_options(template: str) -> bool:
    """Whether a path that an endpoint's template matches can be one that `takes_stream_options`."""
    last = segments(template)[-1]
    return last in (_PLACE, REST) or bool(variable(last))


def ask_for_usage(body: bytes) -> Asked | None:
    """`body` with `stream_options.include_usage`; None when it asks already, streams nothing, or cannot be edited.

    Left alone are what is no JSON object, has no `messages` or `prompt`, or names a key twice: of two, readers take
    different ones. So is a `stream_options` that the model will refuse: that is between it and its caller.
    """
    if has_too_many_parts(body):
        return None
    try:
        text = body.decode()
        document = parse(text)
    except (UnicodeDecodeError, MalformedBody):
        return None
    if not isinstance(document, dict) or len(document) > MAX_MEMBERS or document.get("stream") is not True:
        return None
    options = document.get("stream_options")
    if not (options is None or isinstance(options, dict)) or not ("messages" in document or "prompt" in document):
        return None
    if options and len(options) > MAX_MEMBERS:
        return None
    told = options.get("include_usage") if options else None
    if not (told is None or told is False):
        return None
    try:
        edited = _edit(text, options)
    except MalformedBody:
        return None
    return Asked(edited.encode(), bool(options and options.get("continuous_usage_stats")))


def _edit(text: str, options: dict[str, Any] | None) -> str:
    start = text.index("{")
    own = members(text, start).get("stream_options")
    if own is None:
        return f'{text[: start + 1]}"stream_options":{{{_ASK}}},{text[start + 1 :]}'
    if options is None:
        return f"{text[: own.value]}{{{_ASK}}}{text[own.end :]}"
    inner = members(text, own.value)
    flag = inner.get("include_usage")
    if flag is not None:
        return f"{text[: flag.value]}true{text[flag.end :]}"
    return f"{text[: own.value + 1]}{_ASK}{',' if inner else ''}{text[own.value + 1 :]}"
