"""What says nothing and may stand in a stream: so that nobody on the way takes one that is silent for dead.

Event streams have comments for that (WHATWG, "Server-sent events", 9.2.7: one every 15 seconds or so), and readers pass
over them. Lines of JSON have nothing of the kind, and Ollama's clients parse every line that comes, blank ones too. But
a line without text is one of its own: Ollama sends such while a model thinks or calls a tool, and clients add what is
in it to what they have. So a line like the last one, without its text, is as good as a comment. Of other lines nobody
knows: readers may pass over an empty one (NDJSON 1.0, 3.1), and a policy says whether those of an endpoint do.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from tidegate.filtering.formats.json_text import dump

COMMENT: Final = b": keep-alive\n\n"
BLANK_LINE: Final = b"\n"
_LONGEST: Final = 65536
_TEXTS: Final = "model", "created_at"


def empty_line(left: bytes) -> bytes:
    """A line of Ollama's chat or generate that adds nothing, made of the last whole line that left; b"" without one.

    Nothing is in it but what left already: the model, the time, and who speaks.
    """
    if not left.endswith(b"\n"):
        return b""
    line = left[left.rfind(b"\n", 0, -1) + 1 :]
    document = _document(line) if len(line) <= _LONGEST else None
    if document is None or document.get("done") is not False:
        return b""
    told = {key: document[key] for key in _TEXTS if isinstance(document.get(key), str)}
    message, response = document.get("message"), document.get("response")
    if isinstance(message, dict) and isinstance(message.get("content"), str):
        role = message.get("role")
        said: dict[str, Any] = {"role": role} if isinstance(role, str) else {}
        return _written({**told, "message": {**said, "content": ""}, "done": False})
    return _written({**told, "response": "", "done": False}) if isinstance(response, str) else b""


def _document(line: bytes) -> dict[str, Any] | None:
    try:
        document = orjson.loads(line)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _written(document: dict[str, Any]) -> bytes:
    return f"{dump(document)}\n".encode()
