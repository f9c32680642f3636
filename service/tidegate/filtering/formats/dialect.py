"""What the fields of a streamed event mean, in the dialects of OpenAI (chat, completions, responses) and Anthropic.

Those of others are in `dialect_others`, first pieces in events that only open a text in `dialect_openings`.

`read` says where an event carries the next piece of a text, which channel that text is, and which channels end with it.
A channel is named by what the client joins by: the choice's index, the tool call's index, the item's id.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

from tidegate.filtering.formats import dialect_others
from tidegate.filtering.formats.dialect_names import NamePiece, names
from tidegate.filtering.formats.dialect_openings import Opening, openings
from tidegate.filtering.formats.json_text import Path

Channel = tuple[str | int, ...]

LOGPROBS: Final = frozenset({"logprobs", "prompt_logprobs"})  # they repeat the text token by token

_PIECES = frozenset(
    {"content", "text", "reasoning_content", "reasoning", "refusal", "thinking", "transcript", "arguments", "input"}
    | {"summary"}
)
_HOLDERS = frozenset(
    {
        "content",
        "tool_calls",
        "function",
        "function_call",
        "custom",
        "audio",
        "reasoning_details",
        "thinking",
        "summary",
    }
)
_JSON_PIECES = frozenset({"arguments", "partial_json"})
_WHOLE = frozenset(
    {
        "id",
        "object",
        "created",
        "model",
        "model_name",
        "model_version",
        "role",
        "type",
        "index",
        "finish_reason",
        "stop_reason",
        "item_id",
    }
    | {"system_fingerprint", "service_tier", "tool_call_id", "obfuscation", "provider", "event"}
)
_TOLD = frozenset({"name", "code", "status"})  # no text, but nobody says that they come whole
_WHOLE_BELOW = frozenset({"annotations", "citation", "citations", "error"})
# Of them those that no delta brings a piece of: its server sets them.
_SET = frozenset(
    {"id", "object", "created", "model", "role", "type", "index", "item_id"}
    | {"finish_reason", "stop_reason", "stop_sequence"}
    | {"system_fingerprint", "service_tier", "tool_call_id", "obfuscation"}
)
_OPAQUE = frozenset({"signature", "encrypted_content", "data", "format", "channel", "recipient"})
_NAMES = (
    _PIECES
    | _HOLDERS
    | _JSON_PIECES
    | _WHOLE
    | _TOLD
    | {"choices", "delta", "message", "output", "error"}
    | dialect_others.NAMES
)
# What an event of OpenAI's responses ends in, and the events of Anthropic's messages: those of which all is known.
_VERBS = frozenset(
    {"created", "queued", "in_progress", "completed", "incomplete", "failed", "cancelled", "added", "delta", "done"}
    | {"searching", "interpreting", "generating", "partial_image"}
)
_BLOCKS = frozenset({"content_block_start", "content_block_delta", "content_block_stop"})
_MESSAGES = frozenset({"message_start", "message_delta", "message_stop"})
_USUAL = (
    "accepted_prediction_tokens assistant audio_tokens cache_creation_input_tokens cache_read_input_tokens "
    "cached_tokens chat.completion chat.completion.chunk completion_tokens completion_tokens_details default "
    "embedding end_turn input_tokens length list output_text output_tokens prompt_tokens prompt_tokens_details "
    "reasoning_tokens rejected_prediction_tokens stop stop_sequence system text_completion tool total_tokens usage "
    "user"
)
WORDS: Final = _NAMES | LOGPROBS | frozenset(_USUAL.split())
"""What answers are full of, whatever the model says."""
_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})
_MAX_DEPTH = 8
_NAME = re.compile(r"[A-Za-z_]{1,19}")  # too short to be a value itself, so that it leaves as it came


@dataclass(slots=True)
class Reading:
    """One event: the places of its pieces, the channels (by their beginning) that end with it.

    Of the pieces, `openings` stand in events that open their text. `names` are pieces of tools' names, which leave in
    one. `whole` means that the dialect sends every other string complete, of a `delta` only what its server sets or
    what is opaque; `bare_end` that clients do not look for text in an event that ends channels.
    """

    pieces: dict[Path, Channel] = field(default_factory=dict)
    openings: dict[Path, Opening] = field(default_factory=dict)
    names: dict[Path, NamePiece] = field(default_factory=dict)
    ends: list[Channel] = field(default_factory=list)
    whole: bool = False
    delta: bool = False
    bare_end: bool = False

    def ends_channel(self, channel: Channel) -> bool:
        """Whether nothing follows on `channel`."""
        return any(channel[: len(end)] == end for end in self.ends)

    def is_complete(self, path: Path) -> bool:
        """Whether a string outside `pieces` is known to come in one event."""
        if not path or not _WHOLE_BELOW.isdisjoint(path):
            return True
        if self.whole:
            return not self.delta or path[-1] in _SET or (len(path) == 2 and path[1] in _OPAQUE)
        if path[-1] == "id" and "tool_calls" in path:
            return any(name[: len(path) - 1] == path[:-1] for name in self.names)
        return path in self.names or path[-1] in (_SET if "delta" in path else _WHOLE)


def is_json(channel: Channel) -> bool:
    """Whether the text of a channel is JSON by contract."""
    return not _JSON_PIECES.isdisjoint(channel)


def label(path: Path) -> str:
    """A place for our own records. Names that no dialect knows are left out: a model may have written them."""
    words = (f"[{step}]" if isinstance(step, int) else f".{step}" if step in _NAMES else ".*" for step in path)
    return "".join(words).removeprefix(".")


def read(event: Any) -> Reading:
    """What `event`, a parsed payload, means."""
    reading = Reading()
    if isinstance(event, str):
        reading.pieces[()] = ("string",)
        return reading
    if not isinstance(event, dict):
        return reading
    choices = event.get("choices")
    kind = event.get("type")
    if isinstance(choices, list):
        for place, choice in enumerate(choices):
            if isinstance(choice, dict):
                _choice(reading, choice, place)
    elif isinstance(kind, str) and kind.startswith("response."):
        _response(reading, event, kind)
    elif isinstance(kind, str) and kind.startswith(("content_block_", "message_")):
        _block(reading, event, kind)
    elif kind in ("error", "ping"):
        reading.whole = True
    else:
        reading.pieces = {path: ("other", *channel) for path, channel in dialect_others.pieces(event)}
        if dialect_others.ends(event):
            reading.ends.append(("other",))
        reading.whole = reading.bare_end = dialect_others.is_ollama(event)
    for opening in openings(event):
        reading.pieces[opening.path] = read(opening.delta).pieces[opening.at]
        reading.openings[opening.path] = opening
    return reading


def _choice(reading: Reading, choice: dict[str, Any], place: int) -> None:
    channel: Channel = ("choice", _ident(choice, "index", place))
    if isinstance(choice.get("text"), str):
        reading.pieces["choices", place, "text"] = (*channel, "text")
    delta = choice.get("delta")
    _pieces(reading, delta, ("choices", place, "delta"), (*channel, "delta"))
    _pieces(reading, choice.get("message"), ("choices", place, "message"), (*channel, "message"))
    if isinstance(delta, dict):
        _strings(reading, delta, ("choices", place, "delta"), (*channel, "delta"))
    reading.names.update((name.path, name) for name in names(delta, ("choices", place, "delta"), channel))
    if choice.get("finish_reason"):
        reading.ends.append(channel)


def _pieces(reading: Reading, node: Any, path: Path, channel: Channel) -> None:
    if len(path) > _MAX_DEPTH:
        return
    if isinstance(node, dict):
        for name, value in node.items():
            if isinstance(value, str):
                if name in _PIECES:
                    reading.pieces[*path, name] = (*channel, name)
            elif name in _HOLDERS:
                _pieces(reading, value, (*path, name), (*channel, name))
    elif isinstance(node, list):
        for place, value in enumerate(node):
            if isinstance(value, dict):
                _pieces(reading, value, (*path, place), (*channel, _ident(value, "index", place)))


def _strings(reading: Reading, delta: dict[str, Any], path: Path, channel: Channel) -> None:
    """What a delta holds in a field that no dialect here names is a piece too: that is what a delta is."""
    for name, value in delta.items():
        if isinstance(value, str) and name not in _WHOLE | _TOLD | _OPAQUE and _NAME.fullmatch(name):
            reading.pieces[*path, name] = (*channel, name)


def _response(reading: Reading, event: dict[str, Any], kind: str) -> None:
    base, _, verb = kind.rpartition(".")
    reading.whole = verb in _VERBS
    reading.delta = verb == "delta"
    item = _ident(event, "output_index", _ident(event, "item_id", 0))  # some gateways give every event an id of its own
    part = _ident(event, "content_index", _ident(event, "summary_index", _ident(event, "command_index", 0)))
    channel: Channel = ("item", item, part, base)
    if base.endswith("_arguments"):
        channel = (*channel, "arguments")
    delta = event.get("delta")
    if verb == "delta" and isinstance(delta, str):
        reading.pieces["delta",] = channel
    elif verb == "delta" and isinstance(delta, dict):
        _strings(reading, delta, ("delta",), channel)
    elif kind in _ENDS:
        reading.ends.append(("item",))
    elif kind == "response.output_item.done":
        done = event.get("item")
        reading.ends.append(("item", _ident(event, "output_index", 0)))
        if isinstance(done, dict):
            reading.ends.append(("item", _ident(done, "id", 0)))
    elif verb == "done":
        reading.ends.append(channel)


def _block(reading: Reading, event: dict[str, Any], kind: str) -> None:
    reading.whole = kind in _BLOCKS | _MESSAGES
    reading.delta = kind == "content_block_delta"
    channel: Channel = ("block", _ident(event, "index", 0))
    delta = event.get("delta")
    if kind == "content_block_delta" and isinstance(delta, dict):
        _strings(reading, delta, ("delta",), channel)
    elif kind == "content_block_stop":
        reading.ends.append(channel)
    elif kind in ("message_delta", "message_stop"):
        reading.ends.append(("block",))


def _ident(node: dict[str, Any], name: str, default: str | int) -> str | int:
    value = node.get(name)
    return value if isinstance(value, str | int) else default
