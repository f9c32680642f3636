"""Weighs what is told of the words of a sentence: a conditional random field over runs of words that are asked about.

Lafferty, McCallum and Pereira, "Conditional Random Fields" (ICML 2001). Each word is a part of no name, or of a
person's, a place's or an organisation's; weights of its features and of the steps from word to word say which. They
are trained by `python -m tests.names.train`, on corpora that its module names, and kept as numbers of eight bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tidegate.filtering.ner.model import LOCATION, ORGANIZATION, PERSON, Name
from tidegate.filtering.ner.words import Words, addressed

ENTITIES: Final = ("", PERSON, LOCATION, ORGANIZATION)
"""What a word can be, in the order of the weights."""

FILE: Final = "weights.npz"
_PERSON: Final = ENTITIES.index(PERSON)
_ADDRESSED: Final = 4.0
_ENDED_BY_A_DOT: Final = frozenset({"jr", "sr", "corp", "inc", "ltd", "co"})


@dataclass(frozen=True, eq=False)
class Weights:
    """`places` by feature and entity, `steps` from entity to entity."""

    places: NDArray[Any]
    steps: NDArray[Any]
    unit: float

    def names(self, words: Words, told: Mapping[int, Sequence[int]], lean: Sequence[float]) -> list[Name]:
        """The names in a sentence. By `lean`, for each of `ENTITIES`, more are found than is likely, or fewer.

        A word behind a form of address is a person's almost surely, which the corpora show too rarely to learn.
        """
        if not told:
            return []
        weighed = self.places[np.array(list(told.values()))].sum(axis=1, dtype=np.int32) * self.unit + lean
        scores: dict[int, list[float]] = dict(zip(told, weighed.tolist(), strict=True))
        steps: list[list[float]] = self.steps.T.tolist()
        found = [0] * len(words.words)
        for run in runs(told):
            for at in run:
                scores[at][_PERSON] += _ADDRESSED * addressed(words, at)
            for at, entity in zip(run, _best([scores[at] for at in run], steps), strict=True):
                found[at] = entity
        return list(_names(words, found))


def runs(told: Mapping[int, Sequence[int]], longest: int = 1 << 30) -> Iterator[list[int]]:
    """Words that are asked about and stand next to each other, at most so many."""
    run: list[int] = []
    for at in sorted(told):
        if run and (at != run[-1] + 1 or len(run) == longest):
            yield run
            run = []
        run.append(at)
    if run:
        yield run


def _best(scores: Sequence[Sequence[float]], steps: Sequence[Sequence[float]]) -> list[int]:
    """The sequence that weighs most (Viterbi). `steps` are to each entity, from each."""
    weight = list(scores[0])
    came: list[list[int]] = []
    for score in scores[1:]:
        ways = [[one + step for one, step in zip(weight, to, strict=True)] for to in steps]
        weight = [max(way) + own for way, own in zip(ways, score, strict=True)]
        came.append([way.index(max(way)) for way in ways])
    best = [weight.index(max(weight))]
    for back in reversed(came):
        best.append(back[best[-1]])
    return best[::-1]


def _names(words: Words, found: Sequence[int]) -> Iterator[Name]:
    """Words of one entity side by side, from the first to the last that is more than a link."""
    at = 0
    while at < len(found):
        end = at
        while end < len(found) and found[end] == found[at]:
            end += 1
        core = [number for number in range(at, end) if words.core[number]] if found[at] else []
        if core:
            last = words.words[core[-1]]
            after = words.words[core[-1] + 1] if core[-1] + 1 < len(found) else None
            dotted = len(last.text) == 1 or last.text.lower() in _ENDED_BY_A_DOT
            stop = after.end if after is not None and after.text == "." and dotted else last.end
            yield Name(ENTITIES[found[at]], words.words[core[0]].start, stop)
        at = end


@lru_cache(maxsize=1)
def load() -> tuple[Weights, Weights]:
    """Those for one model's marks, and those for two models'."""
    with (files("tidegate.filtering.ner") / "data" / FILE).open("rb") as file, np.load(file) as kept:
        one, two = (Weights(kept[f"places{n}"], kept[f"steps{n}"], float(kept[f"unit{n}"])) for n in (1, 2))
    return one, two
