"""Patterns and names against presidio-analyzer with the same spaCy pipeline, on the same generated chat answers.

Each finds the same kinds of value, labelled in the answers (`tests.quality.corpus`), which hold code, tables, near
misses and sentences without any value, as answers do. F1 is of all of them together; a value counts as found when no
character of it is left.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from tidegate.filtering.ner.open import open_names
from tidegate.filtering.ruleset import Action, FilterPlan

from tests.bench import presidio
from tests.quality import corpus
from tests.quality.corpus import Labelled, Value
from tests.quality.score import found_by
from tests.quality.score import measure as scored

THEIRS: Final[Mapping[str, str]] = {
    "PERSON": "PERSON",
    "LOCATION": "LOCATION",
    "EMAIL_ADDRESS": "EMAIL",
    "PHONE_NUMBER": "PHONE",
    "CREDIT_CARD": "CREDIT_CARD",
    "IBAN_CODE": "IBAN",
    "US_SSN": "US_SSN",
    "IP_ADDRESS": "IP_ADDRESS",
}
_KINDS: Final = frozenset(THEIRS.values())
_TOGETHER: Final = 6  # of the corpus in one answer: some 2,000 characters
Find = Callable[[str], Sequence[Value]]


def answers(count: int, seed: int = 11) -> list[Labelled]:
    """Chat answers in paragraphs, the same for the same seed."""
    parts = corpus.chat(seed, count * _TOGETHER)
    return [_joined(parts[at : at + _TOGETHER]) for at in range(0, len(parts), _TOGETHER)]


def _joined(parts: Sequence[Labelled]) -> Labelled:
    text = ""
    values: list[Value] = []
    for part in parts:
        text += "\n\n" if text else ""
        values += [value._replace(start=value.start + len(text), end=value.end + len(text)) for value in part.values]
        text += part.text
    return Labelled(text, tuple(values))


def ours() -> Find:
    """The rewriter of a response's texts, redacting."""
    return found_by(FilterPlan(dict.fromkeys(_KINDS, Action.REDACT), spotters=(open_names(),)))


def theirs() -> Find:
    """presidio-analyzer as it comes, asked for the same kinds."""
    engine = presidio.as_it_comes()

    def find(text: str) -> Sequence[Value]:
        found = engine.analyze(text, "en", entities=list(THEIRS))
        return [Value(each.start, each.end, THEIRS[each.entity_type]) for each in found]

    return find


def measure(*, quick: bool = False) -> dict[str, float]:
    """MB/s of both, how many times theirs ours is, and the F1 of both."""
    texts = answers(2 if quick else 30)
    figures: dict[str, float] = {}
    rates = {"ours": 0.0, "theirs": 0.0}
    for _ in range(1 if quick else 3):
        for name, find in (("ours", ours()), ("theirs", theirs())):
            find(texts[0].text)
            started = time.process_time()
            report = scored(texts, find, _KINDS)
            rates[name] = max(rates[name], report.characters / (time.process_time() - started) / 1e6)
            figures[f"names_f1_{name}"] = round(report.total(sorted(_KINDS)).f1, 3)
            figures[f"names_person_f1_{name}"] = round(report.of("PERSON").f1, 3)
    return {
        "names_mb_s": round(rates["ours"], 3),
        "names_times_presidio": round(rates["ours"] / rates["theirs"], 1),
        "names_f1_over_presidio": round(figures["names_f1_ours"] - figures["names_f1_theirs"], 3),
        **figures,
    }
