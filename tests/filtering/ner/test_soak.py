"""Memory stays flat, whatever words come; `python -m tests.bench.soak` shows it over 100,000 responses."""

from __future__ import annotations

import weakref

import pytest
from spacy.language import Language
from tidegate.filtering.ner.pipeline import DEFAULT, SpacyModel, load

from tests.bench.soak import growth, responses, soak


def test_what_is_resident_does_not_grow() -> None:
    soak(200)  # what is made once is there
    assert growth(soak(1500)) < 0.03


def test_no_word_of_a_call_is_remembered() -> None:
    model = load(DEFAULT)
    strings = model._language.vocab.strings
    texts = [[response.decode() for response in responses(200, seed)] for seed in (8, 9, 10)]
    model.read(texts[0])
    known = len(strings)
    model.read(texts[1])
    assert len(strings) == known
    with model._language.memory_zone():  # what it would come to without one
        list(model._language.pipe(texts[2]))
        assert len(strings) > known + len(texts[2])


def test_a_pipeline_is_loaded_anew_after_so_many_words_and_says_the_same() -> None:
    kept = load(DEFAULT)
    model = SpacyModel(DEFAULT, kept._make, renewed_after=50)
    texts = [response.decode() for response in responses(20)]
    first = model._language
    answers = [model.read([text]) for text in texts]
    assert model._language is not first
    assert answers == [kept.read([text]) for text in texts]


def test_an_old_pipeline_is_gone_before_a_new_one_is_loaded_and_one_that_fails_is_tried_again() -> None:
    made: list[weakref.ref[Language]] = []
    faults = iter([None, None, OSError("no room"), None])

    def make() -> Language:
        assert not any(old() for old in made)
        if (fault := next(faults)) is not None:
            raise fault
        language = load(DEFAULT)._make()
        made.append(weakref.ref(language))
        return language

    model = SpacyModel(DEFAULT, make, renewed_after=50)
    (first, *texts) = [[response.decode() for response in responses(20, seed)] for seed in range(3)]
    model.read(first)
    assert len(made) == 1
    model.read(first)
    assert len(made) == 2
    with pytest.raises(OSError, match="no room"):
        model.read(texts[0])
    assert model.read(texts[0]) == load(DEFAULT).read(texts[0])
    assert len(made) == 3
