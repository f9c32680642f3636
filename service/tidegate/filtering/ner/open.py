"""The spotter of names for what a policy asks of it."""

from __future__ import annotations

from typing import Final, Literal

from tidegate.filtering.ner import pipeline as spacy_pipeline
from tidegate.filtering.ner import rampart
from tidegate.filtering.ner.model import Model
from tidegate.filtering.ner.pipeline import DEFAULT
from tidegate.filtering.ner.spotter import NameSpotter
from tidegate.filtering.ner.together import Both, Either

Models = Literal["spacy", "rampart", "either", "both"]
SPACY: Final = "spacy"


def open_names(models: Models = SPACY, *, pipeline: str = DEFAULT) -> NameSpotter:
    """Loads what it takes, once in a process: seconds. Raises ValueError with what is missing."""
    if models == "rampart":
        return NameSpotter(rampart.load())
    return NameSpotter(_weighed(models) if pipeline == DEFAULT else _plain(models, pipeline))


def _weighed(models: Models) -> Model:
    """With the weights, which are trained on what the default pipeline marks."""
    first = spacy_pipeline.load(DEFAULT)
    second = None if models == SPACY else rampart.load()
    from tidegate.filtering.ner import weights  # numpy comes with spaCy
    from tidegate.filtering.ner.weighing import WeighedModel

    alone, together = weights.load()
    return WeighedModel(first, second, alone if second is None else together, agreed=models == "both")


def _plain(models: Models, pipeline: str) -> Model:
    first = spacy_pipeline.load(pipeline)
    match models:
        case "either":
            return Either(first, rampart.load())
        case "both":
            return Both(first, rampart.load())
    return first
