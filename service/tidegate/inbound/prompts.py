"""The texts of a request, each with who speaks in it and where it stands.

Every string is read, keys included, wherever it stands, so that no field that a model server invents is overlooked:
OpenAI's chat, completions, responses and embeddings, Anthropic's messages, Ollama and any other JSON. The names of the
known APIs only tell who speaks. Text parts of one message are one text, as the model reads them: some servers put
nothing between them and some a line break, so that they are read both ways. Images, sound and files in base64 are
counted and not read, but for what is a text, or may be words without spaces (`media`), which is.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import unquote

from tidegate.inbound.media import wordy

Role = Literal["system", "user", "assistant", "tool", "other"]
ROLES: Final[tuple[Role, ...]] = ("system", "user", "assistant", "tool", "other")

_ROLES: Final[dict[str, Role]] = {
    "system": "system", "developer": "system",
    "user": "user", "human": "user",
    "assistant": "assistant", "model": "assistant", "ai": "assistant",
    "tool": "tool", "function": "tool", "ipython": "tool",
}  # fmt: skip
# What a block or item is tells who speaks in it, whatever message holds it: results of tools, and what was retrieved.
_TYPES: Final[dict[str, Role]] = {
    "tool_result": "tool", "web_search_tool_result": "tool", "mcp_tool_result": "tool", "search_result": "tool",
    "document": "tool", "function_call_output": "tool", "custom_tool_call_output": "tool",
    "computer_call_output": "tool", "file_search_call": "tool", "mcp_call": "tool",
}  # fmt: skip
_TOP: Final[dict[str, Role]] = {
    "system": "system", "instructions": "system", "system_instruction": "system", "systemInstruction": "system",
    "prompt": "user", "input": "user", "suffix": "user", "query": "user", "messages": "user", "contents": "user",
    "inputs": "user", "text": "user", "question": "user", "template": "system",
    "documents": "tool", "context": "tool", "passages": "tool",
}  # fmt: skip
_TURNS: Final = frozenset({"messages", "input", "contents"})
_NAMES: Final = frozenset(
    {*_TOP, "content", "parts", "arguments", "function", "tool_calls", "tools", "functions", "output", "parameters"}
    | {"description", "name", "properties", "metadata", "user", "choices", "source", "data", "title", "response_format"}
)
_MEDIA: Final = frozenset({"data", "url", "image_url", "file_data", "images", "image", "b64_json", "audio", "bytes"})
_MEDIA_WITHIN: Final = _MEDIA - {"data", "url", "bytes"}
"""What holds media further down. Lists of `data` are texts: of KServe's BYTES tensors, for one."""
# In one piece, or in long lines; what is in short ones, or has - and _ between its words, may be prose.
_BASE64: Final = re.compile(r"(?:[A-Za-z0-9+/]{60,}+\r?\n)*+[A-Za-z0-9+/]*+={0,2}[\r\n]{0,2}")
_LEAST_MEDIA: Final = 64
_PLAIN_ALPHABET: Final = str.maketrans("-_", "+/")  # RFC 4648 section 5
_NO_BASE64: Final = re.compile(r"[^A-Za-z0-9+/=]+")
_DATA_URL: Final = re.compile(r"data:([A-Za-z0-9.+-]*/?[A-Za-z0-9.+-]*)[^,]{0,200};base64,", re.IGNORECASE)
_LEAST_NAMED: Final = 10**5
"""A number of six digits may be a value where its key says so."""
_LEAST: Final = 10**11
_MOST: Final = 10**19
"""Numbers between them have 12 to 19 digits, as cards have. In longer ones letters may stand in base16."""
_TEXT_TYPES: Final = re.compile(r"text/|application/(?:json|xml|.*\+json)|$", re.IGNORECASE)


Place = tuple["Place | None", "str | int"]
"""A place in a document: that of what holds it, and the last step; so many texts in one deep place cost no more."""


How = Literal["text", "joined", "apart", "number"]


class Prompt(NamedTuple):
    """One text, who speaks in it, and where it stands.

    Parts of one message come twice, "joined" and then "apart": what is found in both is one. A "number" is the digits
    of a whole one that is as long as a card's, or longer, or may be what its key says.
    """

    place: Place | str
    role: Role
    text: str
    how: How = "text"

    @property
    def name(self) -> str:
        """The key that it stands under, "" for none."""
        return self.place[1] if isinstance(self.place, tuple) and isinstance(self.place[1], str) else ""

    @property
    def where(self) -> str:
        """The known fields that lead to it; `*` stands for any other, which a caller may have made up."""
        return self.place if isinstance(self.place, str) else _label(self.place)


def prompts(document: Any, unread: Counter[str]) -> Iterator[Prompt]:
    """The texts of a parsed document, in their order; what is not read is counted in `unread`, by why."""
    stack: list[tuple[Any, Place | None, Role]] = [(document, None, "user")]
    while stack:
        node, place, role = stack.pop()
        if isinstance(node, str):
            yield from _text(node, place, role, unread)
        elif isinstance(node, dict):
            role = _speaker(node, place, role)
            for name in node:
                yield Prompt(place or "body", role, name)
            for name, value in reversed(node.items()):
                stack.append((value, (place, name), role if place else _top(name)))
        elif isinstance(node, list):
            bare = place is not None and place[1] == "content"  # of vLLM's parts some are strings
            joined = [text for part in node if (text := _text_of(part, bare=bare)) is not None]
            if len(joined) > 1:
                yield Prompt(place or "body", role, "".join(joined), "joined")
                yield Prompt(place or "body", role, "\n".join(joined), "apart")
                node = [_without_text(part, bare=bare) for part in node]
            stack += [(value, (place, number), role) for number, value in reversed(list(enumerate(node)))]
        elif isinstance(node, int) and abs(node) >= (_LEAST_NAMED if place and isinstance(place[1], str) else _LEAST):
            yield Prompt(place or "body", role, str(node), "number")
        elif isinstance(node, float) and _LEAST <= abs(node) < _MOST and node == int(node):
            yield Prompt(place or "body", role, str(int(node)), "number")


def _speaker(node: dict[str, Any], place: Place | None, role: Role) -> Role:
    kind, named = node.get("type"), node.get("role")
    turn = place is not None and place[0] is not None and place[0][0] is None and str(place[0][1]).lower() in _TURNS
    # Only of a turn: what else names a role is read by nobody, and must not make a user's text the system's.
    speaker = _ROLES.get(named.lower(), "other") if turn and isinstance(named, str) else role
    # Nor does a type make a user's turn somebody else's: where turns have roles, it is read by nobody.
    own = turn and isinstance(named, str) and speaker == "user"
    return _TYPES[kind] if isinstance(kind, str) and kind in _TYPES and not own else speaker


def _top(name: str) -> Role:
    """Servers in Go take names in any case."""
    return _TOP.get(name) or _TOP.get(name.lower(), "other")


def _text_of(part: Any, *, bare: bool) -> str | None:
    text = part.get("text") if isinstance(part, dict) else part if bare else None
    return text if isinstance(text, str) else None


def _without_text(part: Any, *, bare: bool) -> Any:
    if _text_of(part, bare=bare) is None:
        return part
    return {name: value for name, value in part.items() if name != "text"} if isinstance(part, dict) else None


def _text(text: str, place: Place | None, role: Role, unread: Counter[str]) -> Iterator[Prompt]:
    if place is not None and (place[1] in _MEDIA or (place[0] is not None and place[0][1] in _MEDIA_WITHIN)):
        url = _DATA_URL.match(text)
        raw = text[url.end() :] if url else text
        pure = _BASE64.fullmatch(raw) is not None
        media = pure and len(raw) >= _LEAST_MEDIA
        # A text is one whatever it is said to be: of a file without a type, say, or a drawing in SVG.
        inner = _decoded(raw) if media or (url and _TEXT_TYPES.match(url[1])) else None
        if inner is not None:
            yield Prompt(place, role, inner)
        elif media:
            words = list(wordy(raw))
            yield from (Prompt(place, role, stretch) for stretch in words)
            if words != [raw]:
                unread["media"] += 1
        if media or (pure and inner is not None):
            return
    yield Prompt(place or "body", role, text)


def _decoded(raw: str) -> str | None:
    """As the most lenient reader decodes it, who skips what is not base64 and reads on behind a padding."""
    sent = _NO_BASE64.sub("", unquote(raw).translate(_PLAIN_ALPHABET))
    pieces = [piece + "=" * (-len(piece) % 4) for piece in sent.split("=") if piece]
    try:
        return b"".join(map(base64.b64decode, pieces)).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


def _label(place: Place) -> str:
    words: list[str] = []
    at: Place | None = place
    while at is not None:
        at, step = at
        words.append(f"[{step}]" if isinstance(step, int) else f".{step}" if step in _NAMES else ".*")
    return "".join(reversed(words)).removeprefix(".")
