"""Pipelines: which can be named, and that sentences do not influence each other."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tidegate.filtering.ner.pipeline import DEFAULT, load

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
