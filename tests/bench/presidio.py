"""presidio-analyzer as its users call it, and its recognisers of patterns by themselves."""

from __future__ import annotations

from functools import lru_cache

import spacy
import tldextract
from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
from presidio_analyzer.nlp_engine import NlpEngineProvider, SpacyNlpEngine
from presidio_analyzer.predefined_recognizers import (
    CreditCardRecognizer,
    EmailRecognizer,
    IbanRecognizer,
    IpRecognizer,
    PhoneRecognizer,
    UsSsnRecognizer,
)
from tidegate.filtering.ner.pipeline import DEFAULT

_PATTERNS = (
    EmailRecognizer,
    PhoneRecognizer,
    CreditCardRecognizer,
    IbanRecognizer,
    UsSsnRecognizer,
    IpRecognizer,
)


@lru_cache(maxsize=1)
def as_it_comes() -> AnalyzerEngine:
    """With its own recognisers and a spaCy pipeline, which reads every text, whatever is asked for."""
    _offline()
    models = {"nlp_engine_name": "spacy", "models": [{"lang_code": "en", "model_name": DEFAULT}]}
    return AnalyzerEngine(
        nlp_engine=NlpEngineProvider(nlp_configuration=models).create_engine(), supported_languages=["en"]
    )


class _NoModel(SpacyNlpEngine):
    """Words without a model: no names are looked for, and what is left are the patterns."""

    def __init__(self) -> None:
        super().__init__(models=[{"lang_code": "en", "model_name": "none"}])

    def load(self) -> None:
        self.nlp = {"en": spacy.blank("en")}  # type: ignore[assignment]


def without_model() -> AnalyzerEngine:
    """Six recognisers and nothing else, behind an engine that only splits words: the least that it can do."""
    _offline()
    engine = _NoModel()
    engine.load()
    recognisers = [kind() for kind in _PATTERNS]
    return AnalyzerEngine(
        registry=RecognizerRegistry(recognisers, supported_languages=["en"]),
        nlp_engine=engine,
        supported_languages=["en"],
    )


def _offline() -> None:
    # Its e-mail recogniser would fetch a list of domains at run time; the package brings a snapshot.
    tldextract.tldextract.TLD_EXTRACTOR = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
