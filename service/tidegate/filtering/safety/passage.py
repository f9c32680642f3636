"""A text judged a passage at a time: what is the same whether a model in the package judges or another service."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tidegate.filtering.passages import Passage, Passages
from tidegate.filtering.spotting import Mark


class Verdict(NamedTuple):
    """The categories that a passage falls under. `unread` says why nobody judged it, "" where somebody did."""

    categories: Sequence[str] = ()
    unread: str = ""


Judge = Callable[[Sequence[str]], Sequence[Verdict]]
"""Verdicts of as many passages, each of which is judged by itself. Raises DetectorUnavailable."""


class PassageReading:
    """One text. A passage that is white space alone is shown to nobody; a mark spares the white space around it.

    `unread` counts the passages that nobody judged, by why, and `unread_bytes` what they have in UTF-8.
    """

    def __init__(self, name: str, judge: Judge) -> None:
        self._name = name
        self._judge = judge
        self._passages = Passages()
        self.unread: Counter[str] = Counter()
        self.unread_bytes = 0

    @property
    def decided(self) -> int:
        """Where the passage starts that is not over yet."""
        return self._passages.decided

    def feed(self, text: str) -> Sequence[Mark]:
        """The marks of the passages that are over with this chunk."""
        return self._marks(self._passages.feed(text))

    def finish(self) -> Sequence[Mark]:
        """Those of the last passage."""
        return self._marks(self._passages.finish())

    def _marks(self, passages: Sequence[Passage]) -> Sequence[Mark]:
        passages = [passage for passage in passages if not passage.text.isspace()]
        if not passages:
            return ()
        marks: list[Mark] = []
        verdicts = self._judge([passage.text for passage in passages])
        for (start, text), verdict in zip(passages, verdicts, strict=True):
            if verdict.unread:
                self.unread[verdict.unread] += 1
                self.unread_bytes += len(text.encode("utf-8", "surrogatepass"))
            if verdict.categories:
                begin, end = start + len(text) - len(text.lstrip()), start + len(text.rstrip())
                marks += [Mark(category, self._name, begin, end) for category in verdict.categories]
        return marks
