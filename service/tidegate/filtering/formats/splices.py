"""New tokens for old ones in a document, left to right; everything between them keeps its bytes."""

from __future__ import annotations

from tidegate.filtering.formats.json_text import close_of


class Splices:
    """The changes of one document. `places` is where they were made."""

    def __init__(self, text: str) -> None:
        self.places: set[int] = set()
        self._text = text
        self._parts: list[str] = []
        self._last = 0

    def put(self, start: int, end: int, new: str) -> None:
        """`new` stands where the text from `start` to `end` stood."""
        self._parts += (self._text[self._last : start], new)
        self._last = end
        self.places.add(start)

    def drop(self, start: int) -> int:
        """null stands for the value at `start` when that is an array or object and not empty; its end then, else 0."""
        if self._text[start] not in "[{":
            return 0
        end = close_of(self._text, start)
        if end - start <= 2:
            return 0
        self.put(start, end, "null")
        return end

    def result(self) -> str:
        """The text with its new tokens."""
        return "".join([*self._parts, self._text[self._last :]])
