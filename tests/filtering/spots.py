"""Spotters made for tests: of words, and of sentences that hold one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tidegate.filtering.passages import LONGEST, Passages
from tidegate.filtering.spotting import Effort, Mark


@dataclass(frozen=True)
class Words:
    """Marks each of `words`, which hold no space, where it stands alone."""

    entity: str
    words: tuple[str, ...]
    effort: Effort = Effort.QUICK
    cap: int = 64

    @property
    def entities(self) -> frozenset[str]:
        return frozenset({self.entity})

    def open(self) -> WordReading:
        return WordReading(self)


class WordReading:
    def __init__(self, spotter: Words) -> None:
        self._spotter = spotter
        self._text = ""
        self.decided = 0

    def feed(self, text: str) -> Sequence[Mark]:
        self._text += text
        cut = max(self._text.rfind(blank) for blank in " \n") + 1
        return self._read(cut)

    def finish(self) -> Sequence[Mark]:
        return self._read(len(self._text))

    def _read(self, cut: int) -> Sequence[Mark]:
        spotter, at = self._spotter, self.decided
        marks = [
            Mark(spotter.entity, "words", at + word.start(), at + word.end())
            for word in re.finditer(r"[^ \n]+", self._text[:cut])
            if word[0] in spotter.words
        ]
        self._text = self._text[cut:]
        self.decided += cut
        return marks


@dataclass(frozen=True)
class Sentences:
    """Marks each sentence that holds `word`."""

    entity: str
    word: str
    effort: Effort = Effort.QUICK
    cap: int = LONGEST

    @property
    def entities(self) -> frozenset[str]:
        return frozenset({self.entity})

    def open(self) -> SentenceReading:
        return SentenceReading(self)


class SentenceReading:
    def __init__(self, spotter: Sentences) -> None:
        self._spotter = spotter
        self._passages = Passages()

    @property
    def decided(self) -> int:
        return self._passages.decided

    def feed(self, text: str) -> Sequence[Mark]:
        return self._marks(self._passages.feed(text))

    def finish(self) -> Sequence[Mark]:
        return self._marks(self._passages.finish())

    def _marks(self, passages: Sequence[tuple[int, str]]) -> Sequence[Mark]:
        entity, word = self._spotter.entity, self._spotter.word
        return [Mark(entity, "sentences", at, at + len(text)) for at, text in passages if word in text]
