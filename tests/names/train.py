"""Trains the weights that names are weighed with: `python -m tests.names.train DATA` writes them into the package.

DATA is a folder with the files of `corpora.FILES`: WNUT 2017 (emerging entities), the Broad Twitter Corpus and WikiGold
(CC BY 4.0), and CrossNER (MIT). Every sentence is read as the service reads it, by the models themselves.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tidegate.filtering.ner import pipeline, rampart
from tidegate.filtering.ner.blanking import Blanking, pack
from tidegate.filtering.ner.features import PLACES
from tidegate.filtering.ner.rampart import Part
from tidegate.filtering.ner.weighing import look, marks_of
from tidegate.filtering.ner.weights import ENTITIES, FILE, Weights, runs
from tidegate.filtering.ner.words import Span, Words

from tests.names.corpora import FILES, read
from tests.quality.corpus import Labelled, Value

EPOCHS: Final = 8
RATE: Final = 0.25
DECAY: Final = 1e-6
DROPPED: Final = 0.1  # of the features of a word, at each step: so that none is relied on alone
BATCH: Final = 64  # words
LONGEST: Final = 16
NOTHING: Final = PLACES  # the place of no feature

Numbers = NDArray[Any]


class Reading(NamedTuple):
    """A labelled sentence as the models are shown it, and what they make of it."""

    text: str
    values: tuple[Value, ...]
    spans: Sequence[Span]
    parts: Sequence[Part]


class Row(NamedTuple):
    """A sentence to learn from: what is told of its words, and what each of them is."""

    words: Words
    told: Mapping[int, Sequence[int]]
    truth: Mapping[int, int]


def readings(labelled: Iterable[Labelled]) -> list[Reading]:
    """What both models make of labelled sentences."""
    first, second = pipeline.load(pipeline.DEFAULT), rampart.load()
    packed = [(pack(Blanking().take(text)), values) for text, values in labelled]
    spans = marks_of(first, [sentence.text for sentence, _ in packed])
    made = []
    for (sentence, values), marked in zip(packed, spans, strict=True):
        back = {place: at for at, place in enumerate(sentence.places)}
        kept = []
        for value in values:
            within = [back[place] for place in range(value.start, value.end) if place in back]
            if within:
                kept.append(Value(within[0], within[-1] + 1, value.entity))
        made.append(Reading(sentence.text, tuple(kept), marked, second.parts(sentence.text)))
    return made


def row(reading: Reading, *, seconded: bool) -> Row:
    """A sentence with what is told of its words by one model, or by two."""
    words, told = look(reading.text, reading.spans, reading.parts if seconded else None)
    truth = {}
    for at in told:
        word = words.words[at]
        here = (value.entity for value in reading.values if word.start < value.end and value.start < word.end)
        truth[at] = ENTITIES.index(next(here, ""))
    return Row(words, told, truth)


def train(rows: Iterable[Row], *, seed: int = 0) -> Weights:
    """By the likelihood of what the words are (AdaGrad: Duchi, Hazan and Singer, JMLR 2011), averaged over the end."""
    batches = _by_length(rows)
    places, seen = np.zeros((PLACES + 1, 4), np.float32), np.full((PLACES + 1, 4), 1e-3, np.float32)
    steps, seen_steps = np.zeros((4, 4), np.float32), np.full((4, 4), 1e-3, np.float32)
    kept, kept_steps, count = np.zeros_like(places), np.zeros_like(steps), 0
    rng = np.random.default_rng(seed)
    for epoch in range(EPOCHS):
        for length, chosen in _shuffled(batches, rng):
            features, truth = (each[chosen] for each in batches[length])
            features = np.where(rng.random(features.shape) > DROPPED, features, NOTHING)
            at, slope, slope_steps = _slopes(features, truth, places, steps)
            slope += DECAY * places[at] * len(chosen)
            seen[at] += slope**2
            places[at] -= RATE * slope / np.sqrt(seen[at])
            places[NOTHING] = 0
            seen_steps += slope_steps**2
            steps -= RATE * slope_steps / np.sqrt(seen_steps)
        if epoch >= EPOCHS // 2:
            kept, kept_steps, count = kept + places, kept_steps + steps, count + 1
    return _whole_numbers(kept[:PLACES] / count, kept_steps / count)


def _by_length(rows: Iterable[Row]) -> dict[int, tuple[Numbers, Numbers]]:
    """Runs of words by their length: their features, filled up, and what each word is."""
    found: dict[int, list[tuple[list[Sequence[int]], list[int]]]] = {}
    for each in rows:
        for run in runs(each.told, LONGEST):
            found.setdefault(len(run), []).append(([each.told[at] for at in run], [each.truth[at] for at in run]))
    widest = max(len(told) for group in found.values() for features, _ in group for told in features)
    made = {}
    for length, group in found.items():
        places = np.full((len(group), length, widest), NOTHING, np.int32)
        for number, (features, _) in enumerate(group):
            for at, told in enumerate(features):
                places[number, at, : len(told)] = told
        made[length] = places, np.array([truth for _, truth in group])
    return made


def _shuffled(batches: Mapping[int, tuple[Numbers, Numbers]], rng: np.random.Generator) -> list[tuple[int, Numbers]]:
    cut = [
        (length, part)
        for length, (features, _) in batches.items()
        for part in np.array_split(rng.permutation(len(features)), len(features) // max(1, BATCH // length) + 1)
        if len(part)
    ]
    return [cut[number] for number in rng.permutation(len(cut))]


def _slopes(features: Numbers, truth: Numbers, places: Numbers, steps: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """Where and how steeply the likelihood changes with the weights (forward-backward, in logarithms)."""
    scores = places[features].sum(axis=2)
    length = scores.shape[1]
    ahead, back = [scores[:, 0]], [np.zeros_like(scores[:, 0])]
    for at in range(1, length):
        ahead.append(_summed(ahead[-1][:, :, None] + steps, 1) + scores[:, at])
        back.insert(0, _summed(steps + (scores[:, length - at] + back[0])[:, None, :], 2))
    whole = _summed(ahead[-1], 1)
    likely = np.exp(np.stack([one + other for one, other in zip(ahead, back, strict=True)], 1) - whole[:, None, None])
    slope_steps = np.zeros((4, 4), np.float32)
    for at in range(1, length):
        pairs = ahead[at - 1][:, :, None] + steps + (scores[:, at] + back[at])[:, None, :] - whole[:, None, None]
        slope_steps += np.exp(pairs).sum(axis=0)
        np.add.at(slope_steps, (truth[:, at - 1], truth[:, at]), -1)
    right = np.take_along_axis(likely, truth[:, :, None], 2)
    np.put_along_axis(likely, truth[:, :, None], right - 1, 2)
    at, order = np.unique(features, return_inverse=True)
    slope = np.zeros((len(at), 4), np.float32)
    np.add.at(slope, order.ravel(), np.repeat(likely.reshape(-1, 4), features.shape[2], 0))
    return at, slope / 16, slope_steps / 16


def _summed(values: Numbers, axis: int) -> Numbers:
    top = values.max(axis=axis, keepdims=True)
    return (top + np.log(np.exp(values - top).sum(axis=axis, keepdims=True))).squeeze(axis)


def _whole_numbers(places: Numbers, steps: Numbers) -> Weights:
    unit = float(np.quantile(np.abs(places[places != 0]), 0.9995)) / 127
    return Weights(np.clip(np.rint(places / unit), -127, 127).astype(np.int8), steps.astype(np.float32), unit)


def main() -> None:
    """Train on all that there is, and write."""
    known = [reading for part in FILES for reading in readings(read(Path(sys.argv[1]), part))]
    kept: dict[str, Any] = {}
    for number, seconded in ((1, False), (2, True)):
        weights = train(row(reading, seconded=seconded) for reading in known)
        kept |= {f"places{number}": weights.places, f"steps{number}": weights.steps, f"unit{number}": weights.unit}
    with Path(str(files("tidegate.filtering.ner") / "data" / FILE)).open("wb") as file:
        np.savez_compressed(file, **kept)


if __name__ == "__main__":
    main()
