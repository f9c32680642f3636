"""What a response cost, read from it as it streams: its own `usage` where it says, else its text, counted.

Understood are OpenAI's chat and completions (`usage.prompt_tokens`, `completion_tokens`, `total_tokens`), its
responses (`usage.input_tokens`, `output_tokens`, in the event under `response`) and Anthropic's messages (the same
names, in the first event under `message`, with the tokens of its prompt cache beside them). Of a prompt's tokens,
OpenAI gives those of its cache under `prompt_tokens_details` or `input_tokens_details`. Ollama ends with a document
whose `done` is true and that counts by itself (`prompt_eval_count`, `eval_count`).

The last `usage` wins, figure by figure, and text that comes after it is counted on top: so a stream that was cut off
after an early `usage` is not free.

A figure is not believed, and adds to `lies`, when it is no count, over 2^40, or less than an earlier one; nor is a
completion of less than one token for 32 bytes of the text that we saw, an eighth of what we would count. What stood
before stands then, and text is counted. A prompt is believed: only the model knows what its template comes to.
"""

from __future__ import annotations

from typing import Any, Final

from tidegate.usage.costs import MAX_UNITS, Costs, tokens_of

_PROMPT: Final = ("prompt_tokens", "input_tokens")
_COMPLETION: Final = ("completion_tokens", "output_tokens")
_CACHED: Final = ("cache_read_input_tokens", "cache_creation_input_tokens")
_DETAILS: Final = ("prompt_tokens_details", "input_tokens_details")
_DETAILED: Final = ("cached_tokens", "cache_write_tokens")
_MAX_BYTES: Final = 32  # of text for one token; no tokenizer comes near it but for long runs of one character
_OLLAMA: Final = {"prompt_eval_count": "prompt_tokens", "eval_count": "completion_tokens"}
# Strings of an answer that the model did not write.
_LABELS: Final = frozenset(
    {"id", "call_id", "item_id", "tool_call_id", "type", "role", "object", "model", "status", "event", "index"}
    | {"finish_reason", "stop_reason", "signature", "encrypted_content", "system_fingerprint", "logprobs", "usage"}
    | {"created_at", "done_reason"}
)


class Meter:
    """The cost of one response so far. Takes anything and never raises."""

    def __init__(self) -> None:
        self.lies = 0
        self._size = 0
        self._seen = 0  # of that, what is text for sure: not sound or an image in letters
        self._is_text = False
        self._known_at = 0
        self._prompt: int | None = None
        self._cached = (0, 0)  # of the prompt: read from the model's cache, written to it
        self._completion: int | None = None
        self._total: int | None = None

    def document(self, document: Any) -> None:
        """A whole answer, or one event of a stream, as it was decoded."""
        if not isinstance(document, dict):
            self._size += _size_of(document)
            return
        written, self._is_text = _written(document)
        self._count(_size_of(written))
        for holder in (document, document.get("response"), document.get("message")):
            if isinstance(holder, dict) and holder.get("usage") is not None:
                self._usage(holder["usage"])
        if document.get("done") is True:
            self._usage({ours: document[theirs] for theirs, ours in _OLLAMA.items() if theirs in document})

    def text(self, text: str) -> None:
        """A piece of what the model wrote."""
        self._count(_length(text))

    def unread(self, size: int) -> None:
        """`size` bytes that nobody could decode: all of them count as text."""
        self._size += size

    def costs(self, prompt: int) -> Costs:
        """The cost so far. `prompt` is the estimate, for when no usage tells; `request_bytes` is not known here."""
        prompt = prompt if self._prompt is None else self._prompt
        counted = min(MAX_UNITS, (self._completion or 0) + tokens_of(self._size - self._known_at))
        total = min(MAX_UNITS, (self._total or 0) + tokens_of(self._size - self._known_at))
        read, write = self._cached
        return Costs(
            prompt_tokens=prompt,
            completion_tokens=counted,
            tokens=min(MAX_UNITS, max(total, prompt + counted)),
            cache_read_tokens=read,
            cache_write_tokens=write,
        )

    @property
    def written(self) -> int:
        """Bytes of text so far."""
        return self._size

    @property
    def told(self) -> bool:
        """Whether a usage that can be believed has come."""
        return self._completion is not None or self._prompt is not None

    def _usage(self, usage: Any) -> None:
        if not isinstance(usage, dict):
            self.lies += 1
            return
        prompt, completion = self._first(usage, _PROMPT), self._first(usage, _COMPLETION)
        total = self._figure(usage, "total_tokens")
        if prompt is not None:
            beside = self._pair(usage, _CACHED) if "input_tokens" in usage else (0, 0)
            prompt = min(prompt + sum(beside), MAX_UNITS)
            if prompt >= (self._prompt or 0):
                self._prompt, self._cached = prompt, self._part_of(prompt, usage, beside)
            else:
                self.lies += prompt > 0
        if completion is None and total is not None and prompt is not None and not _has(usage, _COMPLETION):
            completion = max(0, total - prompt)  # embeddings: nothing was written
        if completion is None:
            return
        if completion < (self._completion or 0) or completion * _MAX_BYTES < self._seen:
            self.lies += 1
            return
        self._completion, self._total = completion, total
        self._known_at = self._size

    def _count(self, size: int) -> None:
        self._size += size
        if self._is_text:
            self._seen += size

    def _part_of(self, prompt: int, usage: dict[str, Any], beside: tuple[int, int]) -> tuple[int, int]:
        """How much of the prompt the model's cache gave and took; nothing where that is more than the prompt."""
        details = next((usage[name] for name in _DETAILS if isinstance(usage.get(name), dict)), None)
        read, write = beside if details is None or any(beside) else self._pair(details, _DETAILED)
        if read + write > prompt:
            self.lies += 1
            return 0, 0
        return read, write

    def _pair(self, usage: dict[str, Any], names: tuple[str, str]) -> tuple[int, int]:
        first, second = names
        return self._figure(usage, first) or 0, self._figure(usage, second) or 0

    def _first(self, usage: dict[str, Any], names: tuple[str, ...]) -> int | None:
        found = [figure for name in names if (figure := self._figure(usage, name)) is not None]
        return found[0] if found else None

    def _figure(self, usage: dict[str, Any], name: str) -> int | None:
        value = usage.get(name)
        if value is None:
            return None
        if type(value) is not int or not 0 <= value <= MAX_UNITS:
            self.lies += 1
            return None
        return value


def _has(usage: dict[str, Any], names: tuple[str, ...]) -> bool:
    return any(usage.get(name) is not None for name in names)


def _written(document: dict[str, Any]) -> tuple[Any, bool]:
    """The part of a document that the model wrote and that no other event repeats, and whether it is text for sure."""
    choices = document.get("choices")
    if isinstance(choices, list):
        parts = [part for choice in choices if isinstance(choice, dict) for part in _of_choice(choice)]
        return parts, not any(isinstance(part, dict) and "audio" in part for part in parts)
    kind = document.get("type")
    if isinstance(kind, str):
        if kind.startswith("response."):
            delta = document.get("delta")
            return (delta, "audio" not in kind) if isinstance(delta, str) else (None, False)
        if kind == "content_block_delta":
            return document.get("delta"), True
        if kind in ("ping", "error") or kind.startswith(("message_", "content_block_")):
            return None, False
    if isinstance(document.get("output"), list):
        return document["output"], False
    if document.get("object") == "list" and isinstance(document.get("data"), list):
        return None, False  # embeddings, or a list of models
    return None if "error" in document and len(document) == 1 else document, False


def _of_choice(choice: dict[str, Any]) -> list[Any]:
    return [choice.get(name) for name in ("delta", "message", "text")]


def _size_of(node: Any) -> int:
    """Bytes of the strings in a value, labels left out. A loop over a stack: depth is the model's to choose."""
    stack, size = [node], 0
    while stack:
        node = stack.pop()
        if isinstance(node, str):
            size += _length(node)
        elif isinstance(node, list):
            stack += [item for item in node if isinstance(item, str | list | dict)]
        elif isinstance(node, dict):
            stack += [value for name, value in node.items() if name not in _LABELS]
    return size


def _length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
