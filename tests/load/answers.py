"""What the model of a load test says, and what may be left of it: both are made from a number.

So the model, a process of its own, and the client that judges what arrived agree on every byte without telling each
other. Values are planted in the text, obviously made up, and the text is cut anywhere, inside of them too.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple

Dialect = Literal["chat", "chat stream", "messages stream", "generate stream"]
"""OpenAI's chat, whole and as events; Anthropic's messages as events; Ollama's generate as lines."""

_WORDS: Final = (  # noqa: SIM905
    "tide gate water harbour stone slow morning naïve façade größer 水門 the of and a quiet model answers with care "
    "about ships that come and go while nobody counts them"
).split()
_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_WORDS_A_VALUE: Final = 12
_CHARACTERS_A_PIECE: Final = 20


class Text(NamedTuple):
    """A text in pieces, what may leave of it, and what of its planted values must not: their telling parts."""

    pieces: tuple[str, ...]
    expected: str
    secrets: tuple[str, ...]


class Answer(NamedTuple):
    """A response. `writes` are what the model sends at a time: its events, some of them in two halves."""

    content_type: str
    writes: tuple[bytes, ...]
    prompt_tokens: int
    completion_tokens: int


class Read(NamedTuple):
    """What stands in a response that arrived: its text, whether it ended as its dialect does, and an error instead."""

    text: str
    ended: bool
    error: str = ""


def text(seed: int, pieces: int) -> Text:
    """The text of answer `seed`, in `pieces` pieces of about 20 characters."""
    rng = random.Random(seed)
    written: list[str] = []
    expected: list[str] = []
    secrets: list[str] = []
    size = 0
    while size < pieces * _CHARACTERS_A_PIECE:
        words = rng.choices(_WORDS, k=_WORDS_A_VALUE)
        value, left, secret = _plant(rng)
        written += [*words, value]
        expected += [*words, left]
        secrets.append(secret)
        size += sum(map(len, words)) + len(words) + len(value) + 1
    whole = " ".join(written) + " so far."
    cuts = [0, *sorted(rng.sample(range(1, len(whole)), pieces - 1)), len(whole)]
    cut = tuple(whole[start:end] for start, end in pairwise(cuts))
    return Text(cut, " ".join(expected) + " so far.", tuple(dict.fromkeys(secrets)))


def answer(dialect: Dialect, seed: int, pieces: int, *, usage: bool) -> Answer:
    """The response of the model, with a `usage` where the dialect always has one or the client asked."""
    told = text(seed, pieces)
    prompt, completion = 10 + seed % 90, sum(map(len, told.pieces)) // 4 + 1
    content_type, documents = _DIALECTS[dialect](told.pieces, prompt, completion, usage)
    rng = random.Random(~seed)
    writes: list[bytes] = []
    for document in documents:
        at = rng.randrange(1, len(document)) if rng.random() < 0.15 else 0
        writes += [document[:at], document[at:]] if at else [document]
    return Answer(content_type, tuple(writes), prompt, completion)


def read(dialect: Dialect, body: bytes) -> Read:
    """What arrived of a response, whole or not. What is in no format that the dialect has counts as its text."""
    try:
        return _whole(body) if dialect == "chat" else _streamed(dialect, body)
    except (ValueError, KeyError, TypeError, IndexError):
        return Read(body.decode("utf-8", "replace"), ended=False, error="unreadable")


def _plant(rng: random.Random) -> tuple[str, str, str]:
    """A value, what it becomes, and the part of it that tells it from all others."""
    match rng.randrange(3):
        case 0:
            local = f"planted{rng.randrange(1 << 32):08x}"
            return f"{local}@example.com", "[EMAIL]", local
        case 1:
            tail = "PLANTED" + "".join(rng.choices(_LETTERS, k=9))
            return f"AKIA{tail}", "[AWS_KEY]", tail
        case _:
            return "4111 1111 1111 1111", "[CREDIT_CARD]", "1111 1111"


def _event(document: Any, name: str = "") -> bytes:
    head = f"event: {name}\n" if name else ""
    data = document if isinstance(document, str) else json.dumps(document, ensure_ascii=False)
    return f"{head}data: {data}\n\n".encode()


def _chat(pieces: tuple[str, ...], prompt: int, completion: int, _usage: bool) -> tuple[str, list[bytes]]:
    message = {"role": "assistant", "content": "".join(pieces)}
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    document = {"id": "c", "object": "chat.completion", "model": "small", "choices": [choice], "usage": usage}
    return "application/json", [json.dumps(document).encode()]


def _chat_stream(pieces: tuple[str, ...], prompt: int, completion: int, usage: bool) -> tuple[str, list[bytes]]:
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "small"}

    def event(delta: dict[str, str], finish: str | None) -> bytes:
        return _event({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

    events = [event({"role": "assistant", "content": ""}, None), *[event({"content": piece}, None) for piece in pieces]]
    events.append(event({}, "stop"))
    if usage:
        told = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
        events.append(_event({**head, "choices": [], "usage": told}))
    return "text/event-stream", [*events, _event("[DONE]")]


def _messages_stream(pieces: tuple[str, ...], prompt: int, completion: int, _usage: bool) -> tuple[str, list[bytes]]:
    message = {"id": "m", "type": "message", "role": "assistant", "model": "small", "content": []}
    begun = {"input_tokens": prompt, "output_tokens": 1}
    block: dict[str, Any] = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    deltas = [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}} for piece in pieces
    ]
    over = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": completion}}
    documents: list[dict[str, Any]] = [
        {"type": "message_start", "message": {**message, "usage": begun}},
        block,
        *deltas,
        {"type": "content_block_stop", "index": 0},
        over,
        {"type": "message_stop"},
    ]
    return "text/event-stream", [_event(document, document["type"]) for document in documents]


def _generate_stream(pieces: tuple[str, ...], prompt: int, completion: int, _usage: bool) -> tuple[str, list[bytes]]:
    lines: list[dict[str, Any]] = [{"model": "small", "response": piece, "done": False} for piece in pieces]
    over = {"done": True, "done_reason": "stop", "prompt_eval_count": prompt, "eval_count": completion}
    lines.append({"model": "small", "response": "", **over})
    return "application/x-ndjson", [json.dumps(line).encode() + b"\n" for line in lines]


_DIALECTS: Final[Mapping[Dialect, Callable[[tuple[str, ...], int, int, bool], tuple[str, list[bytes]]]]] = (
    MappingProxyType(
        {
            "chat": _chat,
            "chat stream": _chat_stream,
            "messages stream": _messages_stream,
            "generate stream": _generate_stream,
        }
    )
)


def _whole(body: bytes) -> Read:
    document = json.loads(body)
    if "error" in document:
        return Read("", ended=True, error=str(document["error"]["code"]))
    return Read(document["choices"][0]["message"]["content"], ended=True)


def _streamed(dialect: Dialect, body: bytes) -> Read:
    """All whole events or lines; what follows the last of them is nobody's to read."""
    parts: list[str] = []
    ended, error = False, ""
    for line in body[: body.rfind(b"\n") + 1].split(b"\n"):
        data = line if dialect == "generate stream" else line.removeprefix(b"data: ") if line[:5] == b"data:" else b""
        if data == b"[DONE]":
            ended = True
        elif data:
            document = json.loads(data)
            if document.get("error"):
                error = str(document["error"])
            elif dialect == "chat stream":
                parts += [choice["delta"].get("content") or "" for choice in document["choices"]]
            elif dialect == "generate stream":
                parts.append(document["response"])
                ended = document["done"]
            elif document["type"] == "content_block_delta":
                parts.append(document["delta"]["text"])
            else:
                ended = document["type"] == "message_stop"
    return Read("".join(parts), ended, error)
