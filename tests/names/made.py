"""How well names are found in made texts, and how often where there are none: `python -m tests.names.made`.

The texts are those of `tests.quality.corpus`, which docs/quality.md tells about. Code stands in them without a fence:
nothing says that it is no language. Prints the table of docs/names.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tidegate.filtering.ner.model import LOCATION, ORGANIZATION, PERSON
from tidegate.filtering.ner.open import SPACY, Models, open_names

from tests.quality import corpus
from tests.quality.corpus import Value
from tests.quality.score import Find, Report, measure

ENTITIES: Final = (PERSON, LOCATION, ORGANIZATION)
SEED: Final = 2
TEXTS: Final = {"chat answers": (corpus.chat, 800), "code": (corpus.code, 200), "technical prose": (corpus.prose, 200)}


def names(models: Models = SPACY) -> Find:
    """The spotter, without patterns before it."""
    spotter = open_names(models)

    def find(text: str) -> Sequence[Value]:
        reading = spotter.open()
        return [Value(mark.start, mark.end, mark.entity) for mark in (*reading.feed(text), *reading.finish())]

    return find


def found(make: corpus.Maker, seed: int, count: int) -> Report:
    """What is found in so many texts."""
    return measure(make(seed, count), names(), frozenset(ENTITIES))


def table() -> str:
    """A line for each kind of name in each kind of text."""
    lines = [
        "| text | characters | kind of name | values | recall | precision | wrong in 10,000 characters |",
        "| --- | ---: | --- | ---: | ---: | ---: | ---: |",
    ]
    for text, (make, count) in TEXTS.items():
        report = found(make, SEED, count)
        for entity in ENTITIES:
            score = report.of(entity)
            rates = f"{score.recall:.2f} | {score.precision:.2f}" if score.labelled > 10 else "| "
            wrong = report.false_positives([entity])
            lines.append(f"| {text} | {report.characters:,} | `{entity}` | {score.labelled} | {rates} | {wrong:.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
