"""Names as a spotter: a text in sentences, cleared of what is no language, read by a model, its answers checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tidegate.filtering.ner.blanking import Blanking, pack
from tidegate.filtering.ner.candidates import may_hold_name
from tidegate.filtering.ner.model import Model
from tidegate.filtering.ner.shapes import trimmed
from tidegate.filtering.passages import LONGEST, Passage, Passages
from tidegate.filtering.spotting import Effort, Mark


class NameSpotter:
    """Finds what `model` takes for a name and what has the shape of one. Holds a sentence back until it is over."""

    effort: Final = Effort.LONG
    cap: Final = LONGEST

    def __init__(self, model: Model) -> None:
        self._model = model
        self.entities = model.entities

    def open(self) -> _Names:
        """Begin with a text."""
        return _Names(self._model)


class _Names:
    """One text's reading."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._passages = Passages()
        self._blanking = Blanking()

    @property
    def decided(self) -> int:
        return self._passages.decided

    def feed(self, text: str) -> list[Mark]:
        return self._read(self._passages.feed(text))

    def finish(self) -> list[Mark]:
        return self._read(self._passages.finish())

    def _read(self, passages: Sequence[Passage]) -> list[Mark]:
        blanked = [(passage.start, self._blanking.take(passage.text)) for passage in passages]
        sentences = [(start, pack(sentence)) for start, sentence in blanked if may_hold_name(sentence)]
        if not sentences:
            return []
        marks: list[Mark] = []
        found = self._model.read([sentence.text for _, sentence in sentences])
        for (offset, sentence), names in zip(sentences, found, strict=True):
            for name in names:
                kept = trimmed(name, sentence.text)
                if kept is not None:
                    start, end = sentence.at(kept.start, kept.end)
                    marks.append(Mark(name.entity, self._model.name, offset + start, offset + end))
        return marks
