"""Pipelines: which can be named, and that sentences do not influence each other."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import spacy
from tidegate.filtering.ner.pipeline import DEFAULT, SpacyModel, load
from tidegate.filtering.ner.transitions import Transitions, known
from tidegate.filtering.ner.words import Span

from tests.quality import corpus

SENTENCES = [
    "Wanda Kowalczyk lives in Rotterdam.",
    "Harbour Lights Insurance wrote to Bruno Castellani",
    "Nothing.",
    "",
    "Noor Haddad, Ime Okafor and Mr. Mutombo met in Lisbon on 3 May, said Zo\u00eb.",
]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("en_core_web_xxl", "the pipeline 'en_core_web_xxl' is not installed"),
        ("../en", "the pipeline '../en' is not installed"),
        ("json", "the package 'json' has no pipeline: it neither is a spacy_models entry point nor has a meta.json"),
        ("", "the pipeline '' is not installed"),
    ],
)
def test_a_pipeline_that_cannot_be_had_is_named(name: str, message: str) -> None:
    with pytest.raises(ValueError, match="^" + message.replace(".", r"\.")):
        load(name)


@pytest.mark.parametrize("meta", [None, "{", "[]", '{"name": "x"}', '{"lang": "en", "pipeline": ["ner"]}'])
def test_a_package_that_is_no_pipeline_is_never_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, meta: str | None
) -> None:
    name = f"no_pipeline_{tmp_path.name.replace('-', '_')}"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    if meta is not None:
        (tmp_path / name / "meta.json").write_text(meta)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ValueError, match=f"^the package '{name}' has no pipeline"):
        load(name)
    assert not (tmp_path / "ran").exists()


def test_a_pipeline_is_loaded_once_and_only_as_far_as_names_need() -> None:
    assert load(DEFAULT) is load(DEFAULT)
    assert load(DEFAULT)._language.pipe_names == ["ner"]


def test_what_is_found_does_not_depend_on_what_is_read_with_it() -> None:
    model = load(DEFAULT)
    alone = {sentence: model.read([sentence])[0] for sentence in SENTENCES}
    assert sum(map(len, alone.values())) >= 8
    for seed in range(20):
        mixed = random.Random(seed).choices(SENTENCES, k=100)
        assert model.read(mixed) == [alone[sentence] for sentence in mixed]


def test_threads_read_side_by_side() -> None:
    model = load(DEFAULT)
    want = model.read(SENTENCES)
    with ThreadPoolExecutor(4) as pool:
        assert all(answer == want for answer in pool.map(model.read, [SENTENCES] * 40))


def test_what_is_chosen_is_what_its_own_parser_chooses() -> None:
    language = load(DEFAULT)._language
    recogniser = language.get_pipe("ner")
    choices = Transitions(recogniser)
    texts = [line for part in corpus.chat(3, 150) for line in part.text.split("\n")]
    texts += [*SENTENCES, " ", "  Lisbon", "Lisbon\n\n Noor \u00a0 Haddad", "New York", "in New", "\t" * 9, "a" * 300]
    marked = 0
    for start, size in ((0, 1), (1, 1), (2, 7), (9, 64), (73, 1000)):
        batch = [language.make_doc(text) for text in texts[start : start + size] + texts[-7:]]
        found = choices.spans(batch)
        recogniser.set_annotations(batch, recogniser.predict(batch))
        assert found == [[Span(each.label_, each.start_char, each.end_char) for each in doc.ents] for doc in batch]
        marked += sum(map(len, found))
    assert marked > 500


def test_nothing_is_chosen_in_nothing() -> None:
    language = load(DEFAULT)._language
    choices = Transitions(language.get_pipe("ner"))
    assert choices.spans([]) == []
    assert choices.spans([language.make_doc("")] * 2) == [[], []]


def test_another_kind_of_recogniser_chooses_for_itself() -> None:
    language = load(DEFAULT)._language
    assert known(language.get_pipe("ner"))
    other = spacy.blank("en")
    other.add_pipe("beam_ner").add_label("PERSON")
    other.initialize()
    assert not known(other.get_pipe("beam_ner"))
    other.add_pipe("ner").add_label("PERSON")
    other.initialize()
    model = SpacyModel("other", other)
    assert model.spans(["Noor Haddad", ""]) == [
        [Span(each.label_, each.start_char, each.end_char) for each in other(text).ents] for text in ("Noor Haddad", "")
    ]
