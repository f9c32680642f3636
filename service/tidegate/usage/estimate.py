"""What a request will cost, told from its body before it runs: OpenAI's chat, completions, embeddings and responses,
and Anthropic's messages. An estimate is only reserved; what the response says replaces it.

prompt = 3 + ceil(UTF-8 bytes of prompt text / 4) + 4 for each message + 1,024 for each image, sound or file
         + 1 for each integer, because a prompt may be given as token ids; tools count as the JSON that they are
completion = max(1, the largest of max_completion_tokens, max_tokens, max_output_tokens; 1,024 when none is given)
             x answers asked for (`n` or `best_of`, for each prompt of a batch); 0 for embeddings

The overhead of a message is what OpenAI publishes for its chat format (cookbook, "How to count tokens"). A body that
is not a JSON object, or has more than 200,000 parts, counts ceil(bytes / 4) and the default completion; an object with
a prompt under none of the names that are known here counts ceil(bytes / 4), too. What stands beside one, and is no
parameter of these APIs, counts as prompt: another server may read that.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from tidegate.model import BodyState, Deny, Reason, Request
from tidegate.usage.costs import MAX_UNITS, Costs, tokens_of
from tidegate.usage.parts import has_too_many_parts

DEFAULT_COMPLETION: Final = 1024
PER_MESSAGE: Final = 4
PER_MEDIUM: Final = 1024
PRIMING: Final = 3

_CAPS = ("max_completion_tokens", "max_tokens", "max_output_tokens")
_ANSWERS = ("n", "best_of")
_PROMPTS = ("messages", "input", "prompt", "suffix", "system", "instructions", "documents")
_TOOLS = ("tools", "functions", "response_format")
# What these APIs take beside a prompt, and no model reads.
_PARAMETERS = frozenset(
    {"model", "user", "metadata", "stop", "stop_sequences", "stream_options", "tool_choice", "modalities", "audio"}
    | {"logit_bias", "service_tier", "reasoning", "reasoning_effort", "verbosity", "thinking", "include", "truncation"}
    | {"encoding_format", "safety_identifier", "prompt_cache_key", "previous_response_id", "conversation", "options"}
)
_NO_TEXT = _PARAMETERS.union(_TOOLS)
_DEEPER = frozenset({str, list, dict})
_LABELS = frozenset({"role", "type", "id", "tool_call_id"})
# What holds a medium in one part of a message; its bytes are no text.
_MEDIA = frozenset({"image_url", "input_audio", "audio_url", "video_url", "file", "file_data", "source", "image"})


def costs_of(request: Request) -> Costs | Deny:
    """The estimate for a request, or 413 when its body was cut off and no sound content-length says how long it is.

    A body that was not handed over whole is charged by its declared length, as if all of it were text. One that comes
    in chunks, of which nothing was handed over, has none.
    """
    body = request.body
    declared = request.headers.get("content-length", "" if "transfer-encoding" in request.headers else "0")
    if request.body_state is BodyState.WHOLE or (request.body_state is BodyState.ABSENT and declared == "0"):
        return estimate(body, path=request.path)
    size = int(declared) if declared.isascii() and declared.isdigit() and len(declared) <= 13 else -1
    if not max(len(body), 1) <= size <= MAX_UNITS:
        message = "The request body is too large to be counted against a limit."
        return Deny(413, Reason.REQUEST_MALFORMED, message, detail="partial body")
    return _costs(size, PRIMING + tokens_of(size), DEFAULT_COMPLETION)


def estimate(body: bytes, *, path: str = "") -> Costs:
    """The estimate for a whole body sent to `path`. Never raises, and the same body always costs the same."""
    embeds = path.rstrip("/").endswith("/embeddings")
    try:
        document = orjson.loads(body) if body and not has_too_many_parts(body) else None
    except ValueError:
        document = None
    if not isinstance(document, dict):
        return _costs(len(body), PRIMING + tokens_of(len(body)), 0 if embeds else DEFAULT_COMPLETION)
    prompt = PRIMING + (_prompt(document) if _is_understood(document) else tokens_of(len(body)))
    return _costs(len(body), prompt, 0 if embeds else _completion(document))


def _is_understood(document: dict[str, Any]) -> bool:
    """Whether what is prompt has a name that is known, or there is nothing that could be one."""
    if not document.keys().isdisjoint(_PROMPTS):
        return True
    return not any(type(value) in _DEEPER and name not in _NO_TEXT for name, value in document.items())


def _costs(size: int, prompt: int, completion: int) -> Costs:
    prompt, completion = min(prompt, MAX_UNITS), min(completion, MAX_UNITS)
    return Costs(1, min(size, MAX_UNITS), prompt, completion, min(prompt + completion, MAX_UNITS))


def _completion(document: dict[str, Any]) -> int:
    caps = [value for name in _CAPS if (value := _count(document.get(name))) is not None]
    answers = max(_count(document.get(name)) or 1 for name in _ANSWERS)
    prompts = document.get("prompt")
    if isinstance(prompts, list) and prompts and not isinstance(prompts[0], int):
        answers *= len(prompts)
    return max(1, max(caps) if caps else DEFAULT_COMPLETION) * answers


def _count(value: Any) -> int | None:
    """A count as a model would take it, cut to what can be charged; None when it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1e300:
        return None
    return min(int(value), MAX_UNITS)


def _prompt(document: dict[str, Any]) -> int:
    """Tokens of everything that the model will read. A loop over a stack, because depth is the caller's to choose."""
    stack: list[Any] = [value for name, value in document.items() if name not in _NO_TEXT]
    messages = document.get("messages", document.get("input"))
    size = sum(len(orjson.dumps(document[name])) for name in _TOOLS if name in document)
    tokens = PER_MESSAGE * sum(isinstance(item, dict) for item in messages) if isinstance(messages, list) else 0
    while stack:
        node = stack.pop()
        if isinstance(node, str):
            size += len(node) if node.isascii() else len(node.encode())
        elif isinstance(node, list):
            kinds = list(map(type, node))
            tokens += kinds.count(int)
            if not _DEEPER.isdisjoint(kinds):  # a million numbers are looked at once
                stack += [item for item in node if type(item) in _DEEPER]
        elif isinstance(node, dict):
            for name, value in node.items():
                if name in _MEDIA:
                    tokens += PER_MEDIUM
                elif name not in _LABELS:
                    stack.append(value)
    return tokens + tokens_of(size)
