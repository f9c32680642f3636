"""A linear model over windows of a text: how much the worst forty words of it say that somebody wants to take over.

The score of a window is a bias and the weights of its words, its pairs of words, and the families of `patterns` that
begin in it; the score of a text is the logistic of its worst window, 0.0 to 1.0. `tests.injection` says how the weights
came about, and what they are worth. Linear in the text.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from itertools import accumulate
from typing import Final

from tidegate.inbound.injection.patterns import FAMILIES, PATTERNS

WINDOW: Final = 40
"""Words that are judged together."""

_PUNCTUATION: Final = str.maketrans(
    dict.fromkeys("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~\n\t«»“”‘’…–—。，、！？：；（）「」", " ")
)


@dataclass(frozen=True, slots=True)
class Worst:
    """The worst window of a text: its raw score, and the number of the word in it that says most."""

    raw: float
    peak: int

    @property
    def score(self) -> float:
        """0.0 to 1.0."""
        return 1 / (1 + math.exp(-max(-60.0, min(60.0, self.raw))))


@dataclass(frozen=True, slots=True)
class Model:
    """Weights by word, by pair of words, and by family of patterns."""

    bias: float
    words: Mapping[str, float]
    pairs: Mapping[tuple[str, str], float]
    families: Mapping[str, float]

    def worst(self, view: str) -> Worst:
        """The worst window of a view. What is said again within a window says no more than it did."""
        weights = [0.0] * (marked(view).count(" ") + 1)
        for name, place in told(view):
            weight = self.words.get(name) if isinstance(name, str) else self.pairs.get(name)
            if weight is not None:
                weights[place] += weight
        for family, place in hits(view):
            weights[place] += self.families[family]
        if len(weights) <= WINDOW:
            return Worst(self.bias + math.fsum(weights), weights.index(max(weights)))
        sums = list(accumulate(weights, initial=0.0))
        windows = list(map(operator.sub, sums[WINDOW:], sums))
        top = max(windows)
        first = windows.index(top)
        peak = max(range(first, first + WINDOW), key=weights.__getitem__)
        return Worst(self.bias + top, peak)


def marked(view: str) -> str:
    """A view with a blank for each mark."""
    return view.translate(_PUNCTUATION)


def told(view: str) -> Iterator[tuple[str | tuple[str, str], int]]:
    """The words and pairs of a view, each with the number of its word, but for those that the last window has had.

    A word's number is that of the blanks before it.
    """
    last: dict[str | tuple[str, str], int] = {}
    before = ""
    for place, word in enumerate(marked(view).split(" ")):
        if word:
            if place - last.get(word, -WINDOW) >= WINDOW:
                last[word] = place
                yield word, place
            if before:
                pair = (before, word)
                if place - last.get(pair, -WINDOW) >= WINDOW:
                    last[pair] = place
                    yield pair, place
        before = word


def hits(view: str) -> Iterator[tuple[str, int]]:
    """The families that are found in a view, each with the number of the word that it is found at."""
    blanks = marked(view)
    for family, pattern in PATTERNS:
        at = word = 0
        last = -WINDOW
        for mark in pattern.finditer(view):
            word += blanks.count(" ", at, mark.start())
            at = mark.start()
            if word - last >= WINDOW:
                last = word
                yield family, word


def any_hit(view: str) -> bool:
    """Whether any family is found in a view."""
    return any(pattern.search(view) for _, pattern in PATTERNS)


@lru_cache(maxsize=1)
def model() -> Model:
    """The model that this package carries."""
    return read(files("tidegate.inbound.injection").joinpath("weights.tsv").read_text("utf-8"))


def read(text: str) -> Model:
    """A model from its file: `name TAB weight` a line; "=bias", "=family", "word" or "word word". `#` is a comment."""
    rows = [line.split("\t") for line in text.splitlines() if line and not line.startswith("#")]
    weights = {name: float(weight) for name, weight in rows}
    words, pairs = dict[str, float](), dict[tuple[str, str], float]()
    for name, weight in weights.items():
        first, _, second = name.partition(" ")
        if name.startswith("="):
            continue
        if second:
            pairs[first, second] = weight
        else:
            words[first] = weight
    families = {family: weights.get(f"={family}", 0.0) for family in FAMILIES}
    return Model(weights["=bias"], words, pairs, families)
