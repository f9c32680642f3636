"""Two models as one, and the second model by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from tidegate.filtering.ner import rampart
from tidegate.filtering.ner.model import LOCATION, ORGANIZATION, PERSON, Name
from tidegate.filtering.ner.open import Models, open_names
from tidegate.filtering.ner.together import Both, Either, widened
from tidegate.filtering.spotting import Mark

TEXT = "Wanda Kowalczyk of Acme Corp. met J. R. Mutombo in Lisbon."


@dataclass(frozen=True)
class Says:
    """A model that says the same of every sentence."""

    names: tuple[Name, ...]
    entities: frozenset[str] = frozenset({PERSON, LOCATION})
    name: str = "says"

    def read(self, sentences: Sequence[str]) -> list[list[Name]]:
        return [list(self.names) for _ in sentences]


PEOPLE = Says((Name(PERSON, 0, 9), Name(PERSON, 20, 25), Name(LOCATION, 30, 35), Name(PERSON, 50, 55)))
OTHERS = Says((Name(PERSON, 6, 15), Name(LOCATION, 31, 40), Name(LOCATION, 50, 55), Name(PERSON, 60, 61)))
ORGANIZATIONS = Says((Name(ORGANIZATION, 22, 28), Name(ORGANIZATION, 70, 72)), frozenset({ORGANIZATION}))


def test_either_takes_all_and_the_edges_of_both() -> None:
    model = Either(PEOPLE, OTHERS)
    assert model.read([""]) == [
        [Name(PERSON, 0, 15), Name(PERSON, 20, 25), Name(LOCATION, 30, 40), Name(PERSON, 50, 55), Name(PERSON, 60, 61)]
    ]
    assert model.entities == {PERSON, LOCATION}


def test_both_takes_what_they_agree_on() -> None:
    assert Both(PEOPLE, OTHERS).read(["", ""]) == [[Name(PERSON, 0, 9), Name(LOCATION, 30, 35)]] * 2


def test_what_is_sure_goes_as_far_as_what_is_likely_and_nothing_else_is_added() -> None:
    sure = [Name(PERSON, 6, 9), Name(PERSON, 20, 25), Name(LOCATION, 30, 35)]
    likely = [Name(PERSON, 0, 9), Name(PERSON, 22, 28), Name(PERSON, 30, 40), Name(LOCATION, 50, 55)]
    assert widened(sure, likely) == [Name(PERSON, 0, 9), Name(PERSON, 20, 28), Name(LOCATION, 30, 35)]
    assert widened([Name(PERSON, 0, 2), Name(PERSON, 4, 6)], [Name(PERSON, 0, 6)]) == [Name(PERSON, 0, 6)]


def test_a_kind_that_one_alone_knows_is_its_own() -> None:
    model = Both(PEOPLE, ORGANIZATIONS)
    assert model.entities == {PERSON, LOCATION, ORGANIZATION}
    assert model.read([""]) == [[*PEOPLE.names, Name(ORGANIZATION, 70, 72)]]
    assert Both(ORGANIZATIONS, ORGANIZATIONS).read([""]) == [list(ORGANIZATIONS.names)]


def found(models: Models, text: str) -> set[tuple[str, str]]:
    reading = open_names(models).open()
    marks: list[Mark] = [*reading.feed(text), *reading.finish()]
    return {(mark.entity, text[mark.start : mark.end]) for mark in marks}


def test_the_second_model_knows_people_and_places() -> None:
    assert found("rampart", TEXT) >= {(PERSON, "Wanda Kowalczyk"), (LOCATION, "Lisbon")}


@pytest.mark.parametrize("models", ["spacy", "either"])
def test_who_and_what_is_easy_is_found(models: Models) -> None:
    easy = {(PERSON, "Wanda Kowalczyk"), (PERSON, "J. R. Mutombo"), (LOCATION, "Lisbon"), (ORGANIZATION, "Acme Corp.")}
    assert found(models, TEXT) >= easy


def test_by_both_is_less_and_surer() -> None:
    both, either = found("both", TEXT), found("either", TEXT)
    assert {(PERSON, "Wanda Kowalczyk"), (ORGANIZATION, "Acme Corp.")} <= both < either


def test_the_second_model_reads_a_sentence_the_same_whatever_it_is_read_with() -> None:
    model = rampart.load()
    sentences = [TEXT, "Noor Haddad lives in Rotterdam", "", "it", "a" * 1000, "\u5b89 " * 500 + "Wanda Kowalczyk"]
    alone = [model.read([sentence])[0] for sentence in sentences]
    assert model.read(sentences) == alone
    assert [len(names) > 0 for names in alone[:4]] == [True, True, False, False]


def test_a_sentence_of_more_words_than_the_second_model_takes_is_read_to_its_end() -> None:
    sentence = "- " * 480 + "Wanda Kowalczyk lives"
    model = rampart.load()
    (names,) = model.read([sentence + " here" * 3])
    assert Name(PERSON, 960, 975) in names


def test_by_two_models_every_two_way_split_gives_what_the_whole_gives() -> None:
    spotter = open_names("either")

    def marks(*chunks: str) -> list[Mark]:
        reading = spotter.open()
        return [*(mark for chunk in chunks for mark in reading.feed(chunk)), *reading.finish()]

    text = f"{TEXT} Ask zo\u00eb haddad.\n- **Bruno  Castellani** is in `Rotterdam`, London"
    whole = marks(text)
    assert len(whole) >= 4
    assert all(marks(text[:at], text[at:]) == whole for at in range(len(text)))
    assert marks(*text) == whole
