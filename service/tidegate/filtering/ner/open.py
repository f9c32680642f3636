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
    return NameSpotter(_model(models, pipeline))


def _model(models: Models, pipeline: str) -> Model:
    match models:
        case "spacy":
            return spacy_pipeline.load(pipeline)
        case "rampart":
            return rampart.load()
        case "either":
            return Either(spacy_pipeline.load(pipeline), rampart.load())
        case "both":
            return Both(spacy_pipeline.load(pipeline), rampart.load())
