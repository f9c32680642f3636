"""Pattern filtering against presidio-analyzer with the same kinds of value and no model, on the same generated text."""

from __future__ import annotations

import random
import time

import spacy
import tldextract
from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
from presidio_analyzer.nlp_engine import SpacyNlpEngine
from presidio_analyzer.predefined_recognizers import (
    CreditCardRecognizer,
    EmailRecognizer,
    IbanRecognizer,
    IpRecognizer,
    PhoneRecognizer,
    UsSsnRecognizer,
)
from tidegate.filtering.rewriter import TextRewriter
from tidegate.filtering.ruleset import Action, FilterPlan, Rule, Ruleset, merge

ENTITIES = ("EMAIL", "PHONE", "CREDIT_CARD", "IBAN", "US_SSN", "IP_ADDRESS")
SECRETS = ("AWS_KEY", "GITHUB_TOKEN", "OPENAI_KEY", "SLACK_TOKEN", "GOOGLE_KEY", "JWT", "PRIVATE_KEY")
_RECOGNISERS = (
    EmailRecognizer,
    PhoneRecognizer,
    CreditCardRecognizer,
    IbanRecognizer,
    UsSsnRecognizer,
    IpRecognizer,
)
_VALUES = (
    "ada@example.com",
    "(415) 555-0132",
    "4111 1111 1111 1111",
    "DE89 3704 0044 0532 0130 00",
    "219-09-9999",
    "192.0.2.44",
)
_PROSE = (
    "the model answers with a short summary of what it found in version 3 of the report, and explains that revenue "
    "grew by 12.5 percent in 2024 because the team (all 14 people) moved to a new process; it then lists the steps, "
    "such as opening the console, choosing a region, and waiting for about 30 seconds until the job has finished."
)


def corpus(size: int, seed: int = 7) -> str:
    """Chat answers of about `size` characters with a value every 300 characters or so. The same for the same seed."""
    rng = random.Random(seed)
    words = _PROSE.split()
    parts: list[str] = []
    length = 0
    while length < size:
        word = rng.choice(_VALUES) if rng.random() < 0.02 else rng.choice(words)
        parts.append(word)
        length += len(word) + 1
        if rng.random() < 0.01:
            parts.append("\n\n")
    return " ".join(parts)


def measure() -> dict[str, float]:
    """MB/s of the rewriter for personal data and secrets (whole and in 16-character deltas).

    And how many times presidio's it is for the same text and the same six kinds of value.
    """
    plan = merge([Ruleset("all", (Rule(frozenset(ENTITIES + SECRETS), Action.REDACT),))])
    text = corpus(2_000_000)
    whole = max(_rate(plan, text, 65536) for _ in range(3))
    deltas = max(_rate(plan, text[:200_000], 16) for _ in range(3))
    sample = text[:40_000]
    analyzer = _analyzer()
    presidio = max(_presidio(analyzer, sample) for _ in range(2))
    same = max(
        _rate(merge([Ruleset("six", (Rule(frozenset(ENTITIES), Action.REDACT),))]), sample, 65536) for _ in range(3)
    )
    return {
        "patterns_mb_s": round(whole, 1),
        "patterns_delta_us": round(16 / deltas, 2),
        "patterns_times_presidio": round(same / presidio),
    }


def _rate(plan: FilterPlan, text: str, step: int) -> float:
    started = time.process_time()
    rewriter = TextRewriter(plan)
    out = [rewriter.feed(text[at : at + step]) for at in range(0, len(text), step)]
    out.append(rewriter.finish())
    elapsed = time.process_time() - started
    if "[EMAIL]" not in "".join(out) or sum(rewriter.findings.values()) < len(text) / 1000:
        raise RuntimeError("the rewriter did not find what the corpus holds")
    return len(text) / elapsed / 1e6


class _NoModel(SpacyNlpEngine):
    """Words without a model: no names are looked for, and what is left are the patterns."""

    def __init__(self) -> None:
        super().__init__(models=[{"lang_code": "en", "model_name": "none"}])

    def load(self) -> None:
        self.nlp = {"en": spacy.blank("en")}  # type: ignore[assignment]


def _analyzer() -> AnalyzerEngine:
    """presidio-analyzer as it is called, with the recognisers of `ENTITIES`."""
    # Its e-mail recogniser would fetch a list of domains at run time; the package brings a snapshot.
    tldextract.tldextract.TLD_EXTRACTOR = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    engine = _NoModel()
    engine.load()
    recognisers = [kind() for kind in _RECOGNISERS]
    return AnalyzerEngine(
        registry=RecognizerRegistry(recognisers, supported_languages=["en"]),
        nlp_engine=engine,
        supported_languages=["en"],
    )


def _presidio(analyzer: AnalyzerEngine, text: str) -> float:
    started = time.process_time()
    found = len(analyzer.analyze(text, "en"))
    elapsed = time.process_time() - started
    if found == 0:
        raise RuntimeError("presidio found nothing: the comparison would be empty")
    return len(text) / elapsed / 1e6
