"""How an event stream says that it ends early, in the dialect that it speaks.

OpenAI's chat and completions: an `error` object and `[DONE]`. OpenAI's responses: an `error` event (API reference,
"error") under the next sequence number. Anthropic's messages: an `error` event (API reference, "Error events").
"""

from __future__ import annotations

from typing import Any, Final, Literal

from tidegate.filtering.formats.json_text import dump
from tidegate.filtering.formats.sse_frames import join

DONE: Final = "[DONE]"
_TYPES: Final = {"rate_limit_exceeded": "rate_limit_error"}


class Speech:
    """What a stream has been heard to speak; OpenAI's chat until something else is heard."""

    def __init__(self) -> None:
        self._dialect: Literal["", "chat", "responses", "messages"] = ""
        self._events = 0

    def event(self) -> None:
        """One event came."""
        self._events += 1

    def document(self, document: Any) -> None:
        """The JSON of an event."""
        if self._dialect or not isinstance(document, dict):
            return
        kind = document.get("type")
        if isinstance(document.get("choices"), list):
            self._dialect = "chat"
        elif isinstance(kind, str) and kind.startswith("response."):
            self._dialect = "responses"
        elif isinstance(kind, str) and kind.startswith(("message_", "content_block_")):
            self._dialect = "messages"

    def error(self, code: str, message: str) -> bytes:
        """The last events of the stream."""
        kind = _TYPES.get(code, "api_error")
        error: dict[str, Any]
        match self._dialect:
            case "responses":
                about = {"code": code, "message": message, "param": None, "sequence_number": self._events}
                return join(["event: error"], dump({"type": "error", **about})).encode()
            case "messages":
                error = {"type": kind, "message": message, "code": code}
                return join(["event: error"], dump({"type": "error", "error": error})).encode()
        error = {"message": message, "type": kind, "param": None, "code": code}
        return (join([], dump({"error": error})) + join([], DONE)).encode()
