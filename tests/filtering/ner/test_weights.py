"""Weighing: what is told of words, what is made of it, and that it is worth having."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
from tidegate.filtering.ner import weights
from tidegate.filtering.ner.features import PLACES
from tidegate.filtering.ner.lists import marks
from tidegate.filtering.ner.model import LOCATION, PERSON, Name
from tidegate.filtering.ner.pipeline import DEFAULT, load
from tidegate.filtering.ner.weighing import look, weigh
from tidegate.filtering.ner.weights import ENTITIES, Weights, runs
from tidegate.filtering.ner.words import Span, words_of

from tests.names.score import Score
from tests.quality import corpus
from tests.quality.corpus import Value


def made(places: dict[int, tuple[int, int, int, int]], steps: np.ndarray | None = None) -> Weights:
    table = np.zeros((PLACES, 4), np.int8)
    for place, row in places.items():
        table[place] = row
    return Weights(table, np.zeros((4, 4), np.float32) if steps is None else steps, 0.5)


def test_words_keep_apostrophes_and_lose_possessives() -> None:
    text = "Zo\u00eb O'Brien's 3rd A-B, d\u2019Orves."
    assert [word.text for word in words_of(text)] == [
        *("Zo\u00eb", "O'Brien", "'s", "3", "rd", "A", "-", "B", ",", "d\u2019Orves", ".")
    ]
    assert all(text[word.start : word.end] == word.text for word in words_of(text))


def test_what_is_asked_about_is_what_may_be_a_name_and_what_links_it() -> None:
    words, told = look("the Count of the Isles and noor, 5 May, in rome", [Span("PERSON", 27, 31)], None)
    asked = [word.text for word, ask in zip(words.words, words.asked, strict=True) if ask]
    assert asked == ["Count", "of", "the", "Isles", "and", "noor", "May"]
    assert sorted(told) == [at for at, ask in enumerate(words.asked) if ask]
    assert all(0 <= feature < PLACES for features in told.values() for feature in features)


def test_runs_are_of_neighbours_and_no_longer_than_asked() -> None:
    assert list(runs(dict.fromkeys([1, 2, 4, 7, 8, 9], ()))) == [[1, 2], [4], [7, 8, 9]]
    assert list(runs(dict.fromkeys(range(5), ()), 2)) == [[0, 1], [2, 3], [4]]


def test_the_best_sequence_is_the_best_of_all() -> None:
    rng = np.random.default_rng(1)
    for size in (1, 2, 3, 5):
        scores, steps = rng.normal(size=(size, 4)), rng.normal(size=(4, 4))
        every = itertools.product(range(4), repeat=size)
        best = max(
            every,
            key=lambda way: (
                sum(scores[at, one] for at, one in enumerate(way))
                + sum(steps[one, two] for one, two in itertools.pairwise(way))
            ),
        )
        assert weights._best(scores.tolist(), steps.T.tolist()) == list(best)


def test_words_of_one_kind_side_by_side_are_a_name_without_the_links_around_it() -> None:
    words, _ = look("Mr. Ada de la Byron, Jr. of Isles", [], None)
    kinds = {2: 1, 3: 1, 4: 1, 5: 1, 6: 0, 7: 1, 9: 2, 10: 2}
    table = made({at: tuple(9 * (kind == number) for number in range(4)) for at, kind in kinds.items()})
    assert table.names(words, {at: [at] for at in kinds}, (0, 0, 0, 0)) == [
        Name(PERSON, 4, 19), Name(PERSON, 21, 24), Name(LOCATION, 28, 33)
    ]  # fmt: skip


def test_who_is_addressed_is_a_person() -> None:
    words, told = look("Ask Mr. Xyzzy or Dr Plugh, not the Xyzzy.", [], None)
    assert [name.start for name in made({}).names(words, told, (0.1, 0, 0, 0))] == [8, 20]


def test_lean_finds_more_or_less() -> None:
    texts = [text for text, _ in corpus.chat(3, 40)]
    model, (alone, _) = load(DEFAULT), weights.load()
    looked = [look(text, spans, None) for text, spans in zip(texts, model.spans(texts), strict=True)]
    counts = [sum(len(alone.names(*each, (0, lean, lean, lean))) for each in looked) for lean in (-3, 0, 3)]
    assert counts[0] < counts[1] < counts[2]


def test_the_weights_are_small_and_for_every_entity() -> None:
    for table in weights.load():
        assert table.places.shape == (PLACES, len(ENTITIES))
        assert table.places.dtype == np.int8
        assert table.steps.shape == (4, 4)


@pytest.mark.parametrize(
    ("label", "marked", "taken"),
    [("ORG", "Harbour Lights", True), ("ORG", "RUN", False), ("ORG", "MV-8071-NK", False), ("ORG", "SHA of it", False),
     ("GPE", "Lisbon", True), ("GPE", "Latency", False), ("PERSON", "Ada", False)],
)  # fmt: skip
def test_what_the_pipeline_alone_says_is_taken_where_it_is_likely(label: str, marked: str, taken: bool) -> None:
    found = weigh(made({0: (9, 0, 0, 0)}), f"in {marked} it", [Span(label, 3, 3 + len(marked))], None)
    assert [(name.start, name.end) for name in found] == [(3, 3 + len(marked))] * taken


@pytest.mark.parametrize(("word", "mark"), [("ada", "F"), ("abbey", "f"), ("smith", "L"), ("lisbon", "C")])
def test_lists_know_names(word: str, mark: str) -> None:
    assert mark in marks()[word]


def test_weighing_is_better_than_what_the_pipeline_says_by_itself() -> None:
    """On generated answers, which the weights were not trained on; docs/names.md has the figures of public corpora."""
    labelled = corpus.chat(21, 250)
    model, (alone, _) = load(DEFAULT), weights.load()
    texts = [text for text, _ in labelled]
    before, after = Score(), Score()
    for (text, values), spans, names in zip(labelled, model.spans(texts), model.read(texts), strict=True):
        wanted = [value for value in values if value.entity == PERSON]
        before.add(wanted, [Value(name.start, name.end, name.entity) for name in names])
        after.add(wanted, [Value(name.start, name.end, name.entity) for name in weigh(alone, text, spans, None)])
    assert after.f1(PERSON) > before.f1(PERSON) + 0.05


def test_a_sentence_weighs_the_same_whenever_it_is_read() -> None:
    texts = [text for text, _ in corpus.chat(5, 30)]
    model, (alone, _) = load(DEFAULT), weights.load()
    spans = dict(zip(texts, model.spans(texts), strict=True))
    names = {text: weigh(alone, text, spans[text], None) for text in texts}
    random.Random(2).shuffle(texts)
    assert all(weigh(alone, text, spans[text], None) == names[text] for text in texts)
