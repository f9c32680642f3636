"""What trains the safety classifier: it learns, the same from the same, and its sources are told apart."""

from __future__ import annotations

from random import Random

import pytest
from tidegate.filtering.safety.categories import CATEGORIES
from tidegate.filtering.safety.model import parse
from tidegate.filtering.safety.words import canonical, tokens

from tests.training.safety import fit
from tests.training.safety_examples import labels
from tests.training.safety_lexicon import Lexicon, toxic
from tests.training.safety_sentences import disguised, filled, group_words, made

WORDS = Lexicon(frozenset({"zorbling"}), frozenset({"moan"}), frozenset({"idiot", "moan"}), frozenset({"zorbs"}))


def test_a_model_learns_its_examples_and_the_same_examples_make_the_same_weights() -> None:
    training = [example for example in made(each=6) if not example.held_out]
    weights = fit(training)
    assert fit(training) == weights
    model = parse(weights)
    right = [
        (model.odds(example.text)[at] > 0) == label
        for example in training
        for at, label in enumerate(example.labels)
        if label is not None
    ]
    assert sum(right) / len(right) > 0.9


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("you are an idiot", labels(HARASSMENT=True)),
        ("the zorbs are idiot people", labels(HATE=True, HARASSMENT=None, BIAS=None)),
        ("the zorbs are here", labels(HATE=None, HARASSMENT=None, BIAS=None)),
        ("a zorbling came", labels(HATE=True, HARASSMENT=None, BIAS=None)),
        ("i will kill you", labels(VIOLENCE=True, HARASSMENT=None)),
        ("go kill yourself", labels(VIOLENCE=None, HARASSMENT=True, SELF_HARM=True)),
        ("moan", labels(SEXUAL=True, HARASSMENT=None)),
    ],
)
def test_a_sentence_of_a_toxic_text_is_an_example_of_what_its_words_say(
    text: str, want: tuple[bool | None, ...]
) -> None:
    assert toxic(text, WORDS) == want


def test_patterns_are_filled_and_every_fifth_is_held_out() -> None:
    assert filled("(a|b) {x}", {"x": ["1", "2"]}, Random(1)) in {"a 1", "a 2", "b 1", "b 2"}
    examples = list(made(each=1))
    assert not any("{" in example.text or "|" in example.text for example in examples)
    assert 0.15 < sum(example.held_out for example in examples) / len(examples) < 0.25
    assert {name for example in examples for name, label in zip(CATEGORIES, example.labels, strict=True) if label} == {
        *CATEGORIES
    }


def test_a_disguise_is_read_as_what_it_hides() -> None:
    rng = Random(4)
    text = "those people should vanish from here forever"
    read = [[canonical(token, set(text.split())) for token in tokens(disguised(text, rng))] for _ in range(50)]
    assert any(words == text.split() for words in read)
    assert all(len(words) <= len(text.split()) for words in read)  # two words whose letters stand apart are one


def test_no_group_is_a_word_of_everyday_text() -> None:
    assert {"zorbs", "quandarians", "jews", "women"} <= group_words()
    assert not {"black", "white", "polish", "foreign"} & group_words()
