"""How well names are found: `python -m tests.names DATA`, with the folder that `train` reads. Prints the tables.

What is weighed is measured on each corpus with weights that were trained on the others alone. The package's own weights
are trained on all of them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from tidegate.filtering.ner.model import LOCATION, ORGANIZATION, PERSON, Name
from tidegate.filtering.ner.pipeline import entity_of
from tidegate.filtering.ner.rampart import joined
from tidegate.filtering.ner.shapes import trimmed
from tidegate.filtering.ner.together import agreed, united
from tidegate.filtering.ner.weighing import weigh
from tidegate.filtering.ner.weights import Weights

from tests.names.corpora import FILES, read
from tests.names.score import Score
from tests.names.train import Reading, readings, row, train
from tests.quality.corpus import Value

CORPORA: Final[Mapping[str, tuple[str, ...]]] = {
    "WikiGold": ("wikigold",),
    "CrossNER": ("crossner-train", "crossner-dev", "crossner-test"),
    "Broad Twitter": ("btc-train", "btc-dev"),
    "WNUT 2017": ("wnut-train", "wnut-dev"),
}
Find = Callable[[Reading], Sequence[Name]]


def _first(reading: Reading) -> list[Name]:
    return [
        Name(entity, span.start, span.end) for span in reading.spans if (entity := entity_of(span.label)) is not None
    ]


def _second(reading: Reading) -> list[Name]:
    return joined(reading.text, reading.parts)


def _trimmed(find: Find) -> Find:
    return lambda reading: [kept for name in find(reading) if (kept := trimmed(name, reading.text)) is not None]


def _weighed(weights: Weights, *, seconded: bool, agreed: bool = False) -> Find:
    def find(reading: Reading) -> list[Name]:
        return weigh(weights, reading.text, reading.spans, reading.parts if seconded else None, agreed=agreed)

    return _trimmed(find)


def tables(known: Mapping[str, Sequence[Reading]]) -> str:
    """A table for each corpus, of readings by part."""
    lines: list[str] = []
    for corpus, parts in CORPORA.items():
        others = [reading for part in known if part not in parts for reading in known[part]]
        alone, together = (train(row(reading, seconded=two) for reading in others) for two in (False, True))
        found: dict[str, Find] = {
            "the pipeline, as it comes": _first,
            "`spacy`": _weighed(alone, seconded=False),
            "Rampart, as it comes": _second,
            "either, as they come": lambda reading: united([*_first(reading), *_second(reading)]),
            "`either`": _weighed(together, seconded=True),
            "both, as they come": lambda reading: agreed(_first(reading), _second(reading)),
            "`both`": _weighed(together, seconded=True, agreed=True),
        }
        readings_ = [reading for part in parts for reading in known[part]]
        people = sum(value.entity == PERSON for reading in readings_ for value in reading.values)
        lines += [
            "",
            f"**{corpus}**, {len(readings_):,} sentences, {people:,} people",
            "",
            "| | person: precision | recall | F1 | touched: precision | recall | place F1 | organisation F1 |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
            *(_line(name, readings_, find) for name, find in found.items()),
        ]
    return "\n".join(lines[1:])


def _line(name: str, known: Iterable[Reading], find: Find) -> str:
    score = Score()
    for reading in known:
        score.add(reading.values, [Value(each.start, each.end, each.entity) for each in find(reading)])
    figures = (
        score.precision(PERSON),
        score.recall(PERSON),
        score.f1(PERSON),
        score.precision(PERSON, near=True),
        score.recall(PERSON, near=True),
        score.f1(LOCATION),
        score.f1(ORGANIZATION),
    )
    return f"| {name} | {' | '.join(f'{100 * figure:.1f}' for figure in figures)} |"


if __name__ == "__main__":
    print(tables({part: readings(read(Path(sys.argv[1]), part)) for part in FILES}))
