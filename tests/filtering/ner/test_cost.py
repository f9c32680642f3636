"""What is done around a model of names is quick and linear, whatever the text; a model's own time is its own."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tidegate.filtering.ner.candidates import windows
from tidegate.filtering.ner.model import Name
from tidegate.filtering.ner.spotter import NameSpotter
from tidegate.filtering.ner.weighing import weigh
from tidegate.filtering.ner.weights import load
from tidegate.filtering.ner.words import Span, words_of

from tests.filtering.cost import CHUNK, CUT, GROWTH, SIZE, SPOTTED, dear, growth, per_mb
from tests.filtering.hostile import repeated
from tests.filtering.told import cut, marks_of

HOSTILE = {
    "one endless word": "D",
    "one endless sentence": "and so on ",
    "capitals everywhere": "Ab ",
    "letters by themselves": "A ",
    "paths": "a/",
    "signs of markup": "*A_",
    "code that does not end": "`a``b",
    "tags that do not end": "<a",
    "half addresses": "src=%",
    "titles": "Mr. ",
    "blanks": "A \t",
    "ideographs": "用",
}
SHORT = {"sentences of a letter": "A. B! ", "lines of a letter": "A\n"}


class Eager:
    """Looks where a pipeline is shown something, and takes nothing for a name."""

    name = "eager"
    entities = frozenset({"PERSON"})

    def read(self, sentences: Sequence[str]) -> list[list[Name]]:
        for sentence in sentences:
            windows(sentence)
        return [[] for _ in sentences]


SPOTTER = NameSpotter(Eager())


def _in_chunks(text: str) -> None:
    marks_of(SPOTTER, cut(text, range(0, len(text), CHUNK)))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_megabyte_of_the_worst_is_linear_and_quick(name: str) -> None:
    text = repeated(HOSTILE[name], SIZE // 2)
    assert not dear(lambda text: marks_of(SPOTTER, [text]), text, SPOTTED)
    assert per_mb(_in_chunks, text[: SIZE // 8], CUT) < CUT


@pytest.mark.parametrize("name", SHORT)
def test_a_megabyte_of_the_shortest_sentences_is_linear(name: str) -> None:
    assert not dear(lambda text: marks_of(SPOTTER, [text]), repeated(SHORT[name], SIZE // 8), SPOTTED)


@pytest.mark.parametrize("unit", ["A ", "Ada of ", "1 ", "Mr. A "])
def test_a_sentence_of_words_that_are_all_marked_is_weighed_in_linear_time(unit: str) -> None:
    weights, _ = load()

    def work(text: str) -> None:
        weigh(weights, text, [Span("PERSON", word.start, word.end) for word in words_of(text)], None)

    assert growth(work, repeated(unit, 4000)) < GROWTH
