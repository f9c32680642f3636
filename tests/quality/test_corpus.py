"""The corpus is what it says: labelled where the values are, the same for a seed, and nobody's."""

from __future__ import annotations

import re
from random import Random

import pytest
from tidegate.filtering.detectors import ENTITIES

from tests.quality import corpus
from tests.quality.corpus import KINDS, NAMES, Labelled
from tests.quality.near_misses import NEAR_MISSES

MAKERS = (corpus.chat, corpus.code, corpus.prose)
WITHOUT_A_SHAPE = {"SNOWFLAKE_TOKEN"}  # its issuer says of it only that it is opaque


@pytest.mark.parametrize("make", MAKERS)
def test_the_same_seed_makes_the_same_texts(make: corpus.Maker) -> None:
    assert make(3, 20) == make(3, 20) != make(4, 20)


@pytest.mark.parametrize("make", MAKERS)
def test_labels_are_in_order_apart_and_whole(make: corpus.Maker) -> None:
    for text, values in make(5, 200):
        at = 0
        for value in values:
            assert at <= value.start < value.end <= len(text)
            at = value.end
            assert text[value.start : value.end].strip() == text[value.start : value.end]


@pytest.mark.parametrize("make", MAKERS)
def test_no_slot_is_left_open(make: corpus.Maker) -> None:
    slots = re.compile(f"<(?:{'|'.join([*NEAR_MISSES, *NAMES, 'v', 'label', 'Label', 'key', 'KEY', 'camel'])})>")
    assert not [text for text, _ in make(6, 300) if slots.search(text)]


def test_every_kind_of_value_that_can_be_detected_has_texts() -> None:
    assert {kind.entity for kind in KINDS} == ENTITIES - WITHOUT_A_SHAPE


def test_every_kind_comes_about_equally_often() -> None:
    entities = [value.entity for _, values in corpus.chat(7, 2 * len(KINDS)) for value in values]
    assert all(entities.count(kind.entity) for kind in KINDS)


def test_names_are_labelled_in_most_answers() -> None:
    answers = corpus.chat(8, 400)
    assert sum(any(value.entity in NAMES for value in values) for _, values in answers) > 200


def test_people_in_the_corpus_have_addresses_that_nobody_can_have() -> None:
    texts: list[Labelled] = corpus.chat(9, 2000)
    mails = [text[value.start : value.end] for text, values in texts for value in values if value.entity == "EMAIL"]
    assert mails
    assert all(re.search(r"@(?:[a-z-]+\.)*example(?:\.(?:com|org|net|co\.uk|de))?$", mail) for mail in mails)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.entity)
def test_a_value_is_drawn_anew_each_time(kind: corpus.Kind) -> None:
    rng = Random(1)
    assert len({kind.draw(rng) for _ in range(60)}) > 3
