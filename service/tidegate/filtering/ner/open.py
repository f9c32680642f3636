"""The spotter of names for what a policy asks of it."""

from __future__ import annotations

from tidegate.filtering.ner import pipeline as spacy_pipeline
from tidegate.filtering.ner.pipeline import DEFAULT
from tidegate.filtering.ner.spotter import NameSpotter


def open_names(*, pipeline: str = DEFAULT) -> NameSpotter:
    """Loads what it takes, once in a process: seconds. Raises ValueError with what is missing."""
    return NameSpotter(spacy_pipeline.load(pipeline))
