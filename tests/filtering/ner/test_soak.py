"""Memory stays flat, whatever words come; `python -m tests.bench.soak` shows it over 100,000 responses."""

from __future__ import annotations

import random
import subprocess
import sys
import tracemalloc

import pytest
import spacy
from tidegate.filtering.ner.pipeline import DEFAULT, SpacyModel, _load, load

from tests.bench.soak import responses

_SOAK = "import sys; from tests.bench.soak import main; sys.argv[1:] = '--responses 20 --sentences 100'.split()"
_NO_ZONES = "import contextlib, spacy; spacy.Language.memory_zone = contextlib.nullcontext"


def soaked(*told: str) -> subprocess.CompletedProcess[str]:
    """A process of its own: in this one there is room that other tests left."""
    code = "; ".join([*told, _SOAK, "sys.exit(main())"])
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_what_is_resident_is_flat() -> None:
    done = soaked()
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_soak_fails_where_words_are_not_forgotten() -> None:
    done = soaked(_NO_ZONES)
    assert (done.returncode, done.stderr) == (1, "")
    assert "from least to most" in done.stdout


@pytest.mark.parametrize(("emptied_after", "grows"), [(1_000, False), (1 << 60, True)])
def test_the_tables_that_forgotten_words_stood_in_stay_as_they_are(emptied_after: int, grows: bool) -> None:
    model = SpacyModel("blank", spacy.blank("en"), emptied_after=emptied_after)
    rng = random.Random(3)
    sizes = []
    tracemalloc.start()
    for _ in range(20):
        model.spans([" ".join(f"{rng.getrandbits(64):x}" for _ in range(500))])
        sizes.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert (max(sizes) > max(sizes[:6]) * 1.5) is grows


def test_no_word_of_a_call_is_remembered() -> None:
    model = load(DEFAULT)
    strings = model._language.vocab.strings
    texts = [[response.decode() for response in responses(50, seed=seed)] for seed in (8, 9, 10)]
    model.read(texts[0])
    known = len(strings)
    model.read(texts[1])
    assert len(strings) == known
    with model._language.memory_zone():  # what it would come to without one
        list(model._language.pipe(texts[2]))
        assert len(strings) > known + len(texts[2])


def test_the_same_is_said_when_the_tables_were_emptied() -> None:
    kept, model = load(DEFAULT), SpacyModel(DEFAULT, _load(spacy.load, DEFAULT), emptied_after=50)
    vocab = model._language.vocab
    getters, sizes = dict(vocab.lex_attr_getters), set()
    for text in [response.decode() for response in responses(20)]:
        assert model.spans([text]) == kept.spans([text])
        sizes.add(len(vocab))
    assert max(sizes) < 100 < sum(sizes)
    assert vocab.lex_attr_getters == getters
