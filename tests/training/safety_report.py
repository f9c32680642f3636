"""How good the safety classifier is: on what it was not trained on."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from random import Random

from tidegate.filtering.safety.categories import CATEGORIES
from tidegate.filtering.safety.model import Model

from tests.filtering.technical import Text
from tests.training.safety_corpus import answers, split
from tests.training.safety_examples import Example
from tests.training.safety_sentences import disguised

LEVELS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.8)


def chance(odds: float) -> float:
    """A probability of log-odds."""
    return 1 / (1 + math.exp(-odds))


def figures(pairs: Sequence[tuple[float, bool]], level: float) -> tuple[float, float, float]:
    """Precision, recall and F1 at a threshold."""
    hit = sum(p >= level and truth for p, truth in pairs)
    told = sum(p >= level for p, _ in pairs)
    there = sum(truth for _, truth in pairs)
    precision, recall = hit / told if told else 1.0, hit / there if there else 1.0
    return precision, recall, 2 * precision * recall / (precision + recall or 1)


def show(model: Model, examples: Sequence[Example], data: Path) -> None:
    """Print the tables of docs/safety.md."""
    rng = Random(2)
    held = [example for example in examples if example.held_out]
    scores = [[chance(odds) for odds in model.odds(example.text)] for example in held]
    for made in (False, True):
        print("held-out", "patterns" if made else "data")
        for k, category in enumerate(CATEGORIES):
            chosen = [
                (one[k], bool(example.labels[k]))
                for example, one in zip(held, scores, strict=True)
                if example.labels[k] is not None and example.source.startswith("made") == made
            ]
            told = "  ".join("{:.0f}:{:.2f}/{:.2f}/{:.2f}".format(100 * lv, *figures(chosen, lv)) for lv in LEVELS)
            print(f"  {category:11} {sum(truth for _, truth in chosen):6} of {len(chosen):6}  {told}")
    print("disguised, of patterns: recall at 40, 80")
    for k, category in enumerate(CATEGORIES):
        mine = [e for e in held if e.source == f"made:{category}"]
        told = [chance(model.odds(disguised(e.text, rng))[k]) for e in mine]
        print(f"  {category:11} " + " ".join(f"{sum(p >= lv for p in told) / len(told):.2f}" for lv in (0.4, 0.8)))
    print("answers of models: people's judgement >= 0.5, by the worst sentence")
    listed = list(answers(data))
    for k, category in enumerate(CATEGORIES):
        chosen = [
            (max((chance(model.odds(s)[k]) for s in split(text)), default=0.0), score >= 0.5)
            for text, asked, score in listed
            if asked == category
        ]
        if chosen:
            told = "  ".join("{:.0f}:{:.2f}/{:.2f}/{:.2f}".format(100 * lv, *figures(chosen, lv)) for lv in LEVELS)
            print(f"  {category:11} {sum(truth for _, truth in chosen):6} of {len(chosen):6}  {told}")
    text = Text(99).make(400_000)
    repository = "".join(
        path.read_text(encoding="utf-8")
        for path in sorted(Path(__file__).parents[2].rglob("*"))
        if path.suffix in {".py", ".md", ".lua"} and ".venv" not in path.parts and "training" not in path.parts
    )
    for name, source in (("technical", text), ("this repository", repository)):
        told = []
        for level in LEVELS:
            found = sum(
                chance(odds) >= level for line in re.split(r"\n|(?<=[.!?])\s", source) for odds in model.odds(line)
            )
            told.append(f"{100 * level:.0f}:{found / len(source) * 10_000:.3f}")
        print(f"found in 10,000 characters of {name}: {'  '.join(told)}")
