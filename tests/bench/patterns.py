"""Pattern filtering against presidio-analyzer with the same kinds of value, on the same generated text.

presidio is measured twice: as its users call it, where a spaCy pipeline reads every text whatever is asked for, and by
its six recognisers alone behind an engine that only splits words, which takes writing one. Both are given texts of a
length at which they are near their best: what they find is compared pair by pair, so longer ones cost them more than
in proportion. What one side finds the other has to find too.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from presidio_analyzer import AnalyzerEngine
from tidegate.filtering.rewriter import TextRewriter
from tidegate.filtering.ruleset import Action, FilterPlan, Rule, Ruleset, merge
from tidegate.filtering.witness import Found

from tests.bench import presidio

THEIRS = {
    "EMAIL": "EMAIL_ADDRESS",
    "PHONE": "PHONE_NUMBER",
    "CREDIT_CARD": "CREDIT_CARD",
    "IBAN": "IBAN_CODE",
    "US_SSN": "US_SSN",
    "IP_ADDRESS": "IP_ADDRESS",
}
ENTITIES = tuple(THEIRS)
SECRETS = ("AWS_KEY", "GITHUB_TOKEN", "OPENAI_KEY", "SLACK_TOKEN", "GOOGLE_KEY", "JWT", "PRIVATE_KEY")
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


def measure(*, quick: bool = False) -> dict[str, float]:
    """MB/s of the rewriter for personal data and secrets (whole and in 16-character deltas).

    And how many times presidio's it is for the same text and the same six kinds of value.
    """
    plan, six = _plan(ENTITIES + SECRETS), _plan(ENTITIES)
    text = corpus(100_000 if quick else 2_000_000)
    sample = text[: 4_000 if quick else 40_000]
    engines = {"": presidio.as_it_comes(), "_without_model": presidio.without_model()}
    for engine in engines.values():
        _compare(sample, engine)
    ours: list[float] = []
    theirs: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(1 if quick else 3):
        for name, engine in engines.items():
            theirs[name].append(_rate(sample, lambda engine=engine: _analyse(engine, sample)))  # type: ignore[misc]
            ours += [_rate(sample, lambda: _rewrite(six, sample, 65536)) for _ in range(5)]
    whole = max(_rate(text, lambda: _rewrite(plan, text, 65536)) for _ in range(3))
    deltas = max(_rate(text[:200_000], lambda: _rewrite(plan, text[:200_000], 16)) for _ in range(3))
    return {
        "patterns_mb_s": round(whole, 1),
        "patterns_delta_us": round(16 / deltas, 2),
        **{f"patterns_times_presidio{name}": round(max(ours) / max(rates)) for name, rates in theirs.items()},
    }


def _plan(entities: tuple[str, ...]) -> FilterPlan:
    return merge([Ruleset("all", (Rule(frozenset(entities), Action.REDACT),))])


def _rate(text: str, work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return len(text) / (time.process_time() - started) / 1e6


def _rewrite(plan: FilterPlan, text: str, step: int) -> None:
    rewriter = TextRewriter(plan)
    out = [rewriter.feed(text[at : at + step]) for at in range(0, len(text), step)]
    out.append(rewriter.finish())
    if "[EMAIL]" not in "".join(out) or sum(rewriter.findings.values()) < len(text) / 1000:
        raise RuntimeError("the rewriter did not find what the corpus holds")


def _analyse(engine: AnalyzerEngine, text: str) -> list[tuple[int, int]]:
    found = engine.analyze(text, "en", entities=[THEIRS[entity] for entity in ENTITIES])
    return [(each.start, each.end) for each in found]


class _Spans:
    waiting = False

    def __init__(self) -> None:
        self.spans: list[tuple[int, int]] = []

    def found(self, found: Found) -> str:
        self.spans.append((found.start, found.start + len(found.value)))
        return found.instead or ""

    def placed(self, path: tuple[str | int, ...], where: str) -> None:
        return None


def _compare(text: str, engine: AnalyzerEngine) -> None:
    """Both find the same values, or the comparison would mean nothing."""
    witness = _Spans()
    rewriter = TextRewriter(FilterPlan(dict.fromkeys(ENTITIES, Action.REDACT), witness=witness))
    rewriter.feed(text)
    rewriter.finish()
    ours, theirs = witness.spans, _analyse(engine, text)
    for some, others in ((ours, theirs), (theirs, ours)):
        lone = [span for span in some if not any(start < span[1] and span[0] < end for start, end in others)]
        if lone:
            raise RuntimeError(f"found by one side only: {[text[start:end] for start, end in lone]}")
    if len(ours) < len(text) / 1000:
        raise RuntimeError("the rewriter did not find what the corpus holds")
