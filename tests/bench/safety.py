"""The classifier of content safety: its speed on chat answers, and its false findings in technical text."""

from __future__ import annotations

import time

from tidegate.filtering.ruleset import Action, FilterPlan
from tidegate.filtering.safety.categories import CATEGORIES
from tidegate.filtering.safety.classifier import Classifier
from tidegate.filtering.staged import rewriting

from tests.bench.patterns import corpus
from tests.filtering.technical import Text

_UNSAFE = "You are a pathetic idiot and nobody likes you. "


def measure(size: int = 1_000_000) -> dict[str, float]:
    """MB/s of a rewriter with the classifier alone, one core; and false findings in 10,000 characters."""
    plan = FilterPlan(dict.fromkeys(CATEGORIES, Action.REDACT), spotters=(Classifier(),))
    text = corpus(size).replace("finished. ", "finished. " + _UNSAFE)
    rate = max(_rate(plan, text) for _ in range(3))
    harmless = rewriting(plan)
    harmless.feed(Text(5).make(size))
    harmless.finish()
    return {
        "safety_mb_s": round(rate, 1),
        "safety_found_in_10000_characters": round(sum(harmless.findings.values()) / size * 10_000, 2),
    }


def _rate(plan: FilterPlan, text: str) -> float:
    started = time.process_time()
    rewriter = rewriting(plan)
    for at in range(0, len(text), 65536):
        rewriter.feed(text[at : at + 65536])
    rewriter.finish()
    elapsed = time.process_time() - started
    if not rewriter.findings:
        raise RuntimeError("the classifier did not find what the corpus holds")
    return len(text) / elapsed / 1e6
