"""One or two models, and a look at every word that may be a name: what they mark, how it is written, what lists say.

A small model misses names that are easy to see and marks headings, products and bands as people; which of its marks are
to be trusted can be learned. See `weights` for how, and docs/names.md for what it is worth.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Final

from tidegate.filtering.ner.candidates import windows
from tidegate.filtering.ner.features import STEPS, Shares, features
from tidegate.filtering.ner.lists import marks
from tidegate.filtering.ner.model import LOCATION, NAMES, ORGANIZATION, Name
from tidegate.filtering.ner.pipeline import SpacyModel, entity_of
from tidegate.filtering.ner.rampart import ENTITIES as SECOND
from tidegate.filtering.ner.rampart import Part, RampartModel
from tidegate.filtering.ner.together import widened
from tidegate.filtering.ner.weights import Weights
from tidegate.filtering.ner.words import Span, Word, Words, asked, labels, words_of

_PLACE: Final = frozenset("CcN")
_CAPITALS: Final = re.compile(r"(?<!\w)(?![a-z])[^\W\d_]")
_DIGIT: Final = re.compile(r"\d")
_MARKED: Final = bisect_right(STEPS, 0.3)
_AGREED: Final = 0.5
_EAGER: Final = (0.0, 0.5, 1.0, 1.0)  # to miss a person is worse than to take a word for one
_CAREFUL: Final = (0.0, -4.0, -3.0, -3.0)
_LIKELY: Final = (0.0, 0.0, 0.0, 0.0)


class WeighedModel:
    """A pipeline, and a second model where there is one. With `agreed` people and places are those that both mark."""

    entities: Final = NAMES

    def __init__(
        self, pipeline: SpacyModel, second: RampartModel | None, weights: Weights, *, agreed: bool = False
    ) -> None:
        self.name = pipeline.name if second is None else f"{pipeline.name}{'&' if agreed else '|'}{second.name}"
        self._pipeline = pipeline
        self._second = second
        self._weights = weights
        self._agreed = agreed

    def read(self, sentences: Sequence[str]) -> list[list[Name]]:
        """The names in each."""
        marked = marks_of(self._pipeline, sentences)
        return [self._weigh(sentence, spans) for sentence, spans in zip(sentences, marked, strict=True)]

    def _weigh(self, sentence: str, spans: Sequence[Span]) -> list[Name]:
        parts = None if self._second is None else self._second.parts(sentence)
        return weigh(self._weights, sentence, spans, parts, agreed=self._agreed)


def marks_of(pipeline: SpacyModel, sentences: Sequence[str]) -> list[list[Span]]:
    """What a pipeline marks in each sentence, of which it is shown what may hold a name."""
    cut = [(number, *window) for number, sentence in enumerate(sentences) for window in windows(sentence)]
    marked: list[list[Span]] = [[] for _ in sentences]
    for (number, begin, _), spans in zip(
        cut, pipeline.spans([sentences[number][begin:end] for number, begin, end in cut]), strict=True
    ):
        marked[number] += (Span(span.label, begin + span.start, begin + span.end) for span in spans)
    return marked


def weigh(
    weights: Weights, sentence: str, spans: Sequence[Span], parts: Sequence[Part] | None, *, agreed: bool = False
) -> list[Name]:
    """The names in a sentence of which one or two models say this."""
    words, told = look(sentence, spans, parts)
    names = weights.names(words, told, _CAREFUL if agreed else _EAGER)
    if agreed:  # whether it is a name is decided carefully, and how far it goes by what is likely
        names = widened(names, weights.names(words, told, _LIKELY)) if names else names
    if agreed and parts is not None:
        names = [name for name in names if name.entity not in SECOND or _both(name, spans, parts)]
    starts, ends = [name.start for name in names], [name.end for name in names]
    free = [span for span in spans if bisect_right(ends, span.start) >= bisect_left(starts, span.end)]
    named = [Name(entity, span.start, span.end) for span in free if (entity := _taken(span, sentence, agreed=agreed))]
    return sorted([*names, *named], key=lambda name: name.start)


def _taken(span: Span, sentence: str, *, agreed: bool) -> str | None:
    """What the pipeline's word is taken for: places that the lists know, and organisations of several words.

    What is one of these the corpora do not agree on, and many leave it out. A single word in capitals is to the
    pipeline an organisation mostly: RUN, Password.
    """
    entity, text = entity_of(span.label), sentence[span.start : span.end]
    if entity == ORGANIZATION:
        return entity if len(_CAPITALS.findall(text)) > 1 and _DIGIT.search(text) is None else None
    listed = marks().get(text.lower(), "")
    return entity if entity == LOCATION and not agreed and not _PLACE.isdisjoint(listed) else None


def look(sentence: str, spans: Sequence[Span], parts: Sequence[Part] | None) -> tuple[Words, dict[int, list[int]]]:
    """The words of a sentence, and the features of those that are asked about."""
    words = words_of(sentence)
    known = labels(words, spans)
    shares = None if parts is None else _shares(words, parts)
    marked = [label != "-" or (shares is not None and max(shares[at]) >= _MARKED) for at, label in enumerate(known)]
    chosen = asked(words, marked)
    return chosen, features(chosen, known, shares)


def _shares(words: Sequence[Word], parts: Sequence[Part]) -> Shares:
    shares: list[tuple[int, int]] = []
    at = 0
    for word in words:
        while at < len(parts) and parts[at].end <= word.start:
            at += 1
        place = person = 0.0
        inside = at
        while inside < len(parts) and (part := parts[inside]).start < word.end:
            inside += 1
            place, person = max(place, part.shares[0]), max(person, part.shares[1])
        shares.append((bisect_right(STEPS, place), bisect_right(STEPS, person)))
    return shares


def _both(name: Name, spans: Sequence[Span], parts: Sequence[Part]) -> bool:
    column = SECOND.index(name.entity)
    one = any(entity_of(span.label) == name.entity for span in spans if span.start < name.end and name.start < span.end)
    return one and any(
        part.shares[column] >= _AGREED for part in parts if part.start < name.end and name.start < part.end
    )
