"""Lines of bytes, cut anywhere, each with the line feed that ends it."""

from __future__ import annotations

from collections.abc import Iterator

from tidegate.errors import BodyTooLarge
from tidegate.filtering.formats.json_text import dump


class Lines:
    """Bytes in, whole lines out. A line of more than `max_line` bytes raises BodyTooLarge."""

    def __init__(self, max_line: int) -> None:
        self._max = max_line
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The lines that `data` completes."""
        first, *others = data.split(b"\n")
        self._hold(first)
        for piece in others:
            yield self._take() + b"\n"
            self._hold(piece)

    def finish(self) -> Iterator[bytes]:
        """The last line, when no line feed ended it."""
        if self._size:
            yield self._take()

    def _hold(self, piece: bytes) -> None:
        if self._size + len(piece) > self._max:
            raise BodyTooLarge(f"a line of more than {self._max} bytes")
        if piece:
            self._parts.append(piece)
            self._size += len(piece)

    def _take(self) -> bytes:
        line = b"".join(self._parts)
        self._parts, self._size = [], 0
        return line


def error_line(code: str, message: str) -> str:
    """How lines of documents say that they end early: Ollama's `error` (API reference, "Streaming errors")."""
    return f"{dump({'error': message, 'code': code})}\n"
