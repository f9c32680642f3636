"""Fits the injection model: a logistic regression in which a text is as bad as its worst window.

Multiple-instance learning by the maximum (as in Andrews, Tsochantaridis and Hofmann, "Support Vector Machines for
Multiple-Instance Learning", NIPS 2002): in each pass the window that scores most stands for its text, an attack's as
well as an ordinary one's, and the weights follow the gradient of the logistic loss, by AdaGrad, with weight decay.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from tidegate.inbound.injection.model import WINDOW, Model, hits, told
from tidegate.inbound.injection.patterns import FAMILIES
from tidegate.inbound.injection.views import fold

from tests.injection.corpus import CLEAN, Sample

LEAST = 8
"""Texts of the attacks, or of the others, that a word must stand in to get a weight."""
_LONGEST = 3000
_EPOCHS = 12
_RATE = 0.12
_DECAY = 1e-3
_FAMILY_START = 1.2


class Prepared:
    """One text as features by word: the numbers of those that begin at each."""

    def __init__(self, view: str, numbers: dict[str, int]) -> None:
        found = [(" ".join(name) if isinstance(name, tuple) else name, place) for name, place in told(view)]
        found += [(f"={family}", place) for family, place in hits(view)]
        known = [(numbers[name], place) for name, place in found if name in numbers and place < _LONGEST]
        features, places = [number for number, _ in known], [place for _, place in known]
        order = np.argsort(np.array(places, dtype=np.int64), kind="stable")
        self.features = np.array(features, dtype=np.int64)[order]
        self.places = np.array(places, dtype=np.int64)[order]
        self.length = max(places, default=0) + 1

    def worst(self, weights: np.ndarray) -> tuple[float, np.ndarray]:
        """The sum of the worst window, and its features."""
        if self.length <= WINDOW:
            return float(weights[self.features].sum()), self.features
        by_word = np.bincount(self.places, weights=weights[self.features], minlength=self.length)
        sums = np.concatenate(([0.0], np.cumsum(by_word)))
        first = int(np.argmax(sums[WINDOW:] - sums[: self.length - WINDOW + 1]))
        inside = self.features[np.searchsorted(self.places, first) : np.searchsorted(self.places, first + WINDOW)]
        return float(weights[inside].sum()), inside


def vocabulary(views: Sequence[tuple[str, bool]], clean: Sequence[bool]) -> list[str]:
    """Words and pairs of words that stand in enough texts of a kind, all of whose words stand in a clean one, too.

    So nothing of the abuse in the data gets into the file of weights.
    """
    counts: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    seen: Counter[str] = Counter()
    for (view, attack), is_clean in zip(views, clean, strict=True):
        if is_clean:
            seen.update({name for name, _ in told(view) if isinstance(name, str)})
        names = {" ".join(name) if isinstance(name, tuple) else name for name, place in told(view) if place < _LONGEST}
        counts[attack].update(names)
    kept = {name for count in counts.values() for name, number in count.items() if number >= LEAST}
    decent = {name for name, number in seen.items() if number > 2}
    return sorted(
        name for name in kept if len(name) <= 48 and name.isprintable() and decent.issuperset(name.split(" "))
    )


def train(samples: Sequence[Sample], *, seed: int = 7) -> Model:
    """The model for samples. The same samples always give the same model."""
    views = [(fold(sample.text), sample.attack) for sample in samples]
    names = [*(f"={family}" for family in FAMILIES), *vocabulary(views, [sample.source in CLEAN for sample in samples])]
    numbers = {name: number for number, name in enumerate(names)}
    texts = [(Prepared(view, numbers), attack) for view, attack in views]
    # A group of near copies counts as a few texts, however many there are.
    sizes = Counter((sample.attack, sample.source, sample.group) for sample in samples)
    counts = np.array([min(1.0, 6 / sizes[s.attack, s.source, s.group]) for s in samples])
    attacks = np.array([sample.attack for sample in samples])
    share = counts[~attacks].sum() / counts[attacks].sum()
    weight = counts * np.where(attacks, share, 1.0)
    weights = np.zeros(len(names))
    weights[: len(FAMILIES)] = _FAMILY_START
    bias, gathered, gathered_bias = -2.0, np.full(len(names), 1e-4), 1e-4
    draw = np.random.default_rng(seed)
    for _ in range(_EPOCHS):
        for number in draw.permutation(len(texts)):
            text, attack = texts[number]
            raw, inside = text.worst(weights)
            gradient = (1 / (1 + np.exp(-(raw + bias))) - attack) * weight[number]
            if len(inside):
                features = np.unique(inside)
                step = gradient + _DECAY * weights[features]
                gathered[features] += step**2
                weights[features] -= _RATE * step / np.sqrt(gathered[features])
                if features[0] < len(FAMILIES):
                    weights[: len(FAMILIES)] = np.maximum(weights[: len(FAMILIES)], 0.3)
            gathered_bias += gradient**2
            bias -= _RATE * gradient / np.sqrt(gathered_bias)
    return _model(names, weights, float(bias))


def _model(names: Sequence[str], weights: np.ndarray, bias: float) -> Model:
    rounded = {name: round(float(weight), 3) for name, weight in zip(names, weights, strict=True)}
    words = {name: weight for name, weight in rounded.items() if " " not in name and not name.startswith("=")}
    pairs = {name: weight for name, weight in rounded.items() if " " in name}
    return Model(
        round(bias, 3),
        {name: weight for name, weight in words.items() if abs(weight) >= 0.1},
        {(name.split(" ")[0], name.split(" ")[1]): weight for name, weight in pairs.items() if abs(weight) >= 0.15},
        {family: rounded[f"={family}"] for family in FAMILIES},
    )


def written(model: Model, heading: str) -> str:
    """The model as the service reads it."""
    rows = [("=bias", model.bias), *((f"={family}", weight) for family, weight in model.families.items())]
    rows += sorted(model.words.items()) + sorted((" ".join(pair), weight) for pair, weight in model.pairs.items())
    return heading + "".join(f"{name}\t{weight:g}\n" for name, weight in rows)
