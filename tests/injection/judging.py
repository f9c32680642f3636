"""What the injection model is worth on what it was not trained on, as a page of the documentation."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tidegate.inbound.injection.scorer import score_text

from tests.injection.corpus import Sample, attacks, longer, made, ordinary, technical
from tests.injection.texts import ATTACKS, HELD_ATTACKS, HELD_ORDINARY, ORDINARY, SLOTS

THRESHOLDS = (0.3, 0.5, 0.7, 0.9)
_SHARE = 0.35


class Split(NamedTuple):
    """What is trained on, and what is held out, by what it is."""

    training: list[Sample]
    held: dict[str, list[Sample]]


def split(data: Path, *, seed: int = 1) -> Split:
    """A third of the groups of attacks, of the ordinary texts, and all held-out templates are not trained on."""
    draw = random.Random(seed)
    real, plain = attacks(data), [*ordinary(data), *technical()]
    groups = sorted({sample.group for sample in real})
    draw.shuffle(groups)
    largest = max(groups, key=lambda group: sum(sample.group == group for sample in real))
    held_groups = {*groups[: int(len(groups) * _SHARE)]} - {largest}
    draw.shuffle(plain)
    cut = int(len(plain) * _SHARE)
    held_plain, known_plain = plain[:cut], plain[cut:]
    held_real = [sample for sample in real if sample.group in held_groups]
    known_real = [sample for sample in real if sample.group not in held_groups]
    known_attacks = made(ATTACKS, SLOTS, 700, 1, attack=True, source="made")
    known_ordinary = made(ORDINARY, SLOTS, 2200, 2, attack=False, source="made")
    short = [sample for sample in known_real + known_attacks if len(sample.text) < 1500]
    training = known_real + known_plain + known_attacks + known_ordinary
    training += longer(known_plain + known_ordinary, short, 800, 5)
    held_attacks = made(HELD_ATTACKS, SLOTS, 240, 3, attack=True, source="held")
    held_ordinary = made(HELD_ORDINARY, SLOTS, 400, 4, attack=False, source="held")
    inside = longer(held_plain + held_ordinary, held_attacks + [s for s in held_real if len(s.text) < 1500], 300, 6)
    held = {
        "jailbreaks and injections of the data": held_real,
        "attacks made here": held_attacks,
        "attacks inside longer texts": [sample for sample in inside if sample.attack],
        "comments and prose of the data": [sample for sample in held_plain if sample.source != "stdlib"],
        "code of Python's standard library": [sample for sample in held_plain if sample.source == "stdlib"],
        "ordinary prompts made here, half of them near misses": held_ordinary,
        "longer texts without an attack": [sample for sample in inside if not sample.attack],
    }
    return Split(training, held)


def table(held: dict[str, list[Sample]]) -> str:
    """Markdown: the share that scores at least each threshold, then precision, recall and F1 over all."""
    scored = {name: [(score_text(sample.text), sample.attack) for sample in samples] for name, samples in held.items()}
    head = " | ".join(f"≥ {threshold:g}" for threshold in THRESHOLDS)
    rows = [f"| held out | texts | {head} |", f"| --- | ---: |{' ---: |' * len(THRESHOLDS)}"]
    for name, values in scored.items():
        shares = " | ".join(f"{_share(values, threshold):.1%}" for threshold in THRESHOLDS)
        rows.append(f"| {name} ({'attacks' if values[0][1] else 'none is one'}) | {len(values)} | {shares} |")
    every = [value for values in scored.values() for value in values]
    for word, measure in (("precision", _precision), ("recall", _recall)):
        rows.append(
            f"| {word}, all of them | {len(every)} | {' | '.join(f'{measure(every, t):.1%}' for t in THRESHOLDS)} |"
        )
    return "\n".join(rows) + "\n"


def _share(values: Sequence[tuple[float, bool]], threshold: float) -> float:
    return sum(score >= threshold for score, _ in values) / len(values)


def _precision(values: Sequence[tuple[float, bool]], threshold: float) -> float:
    told = [attack for score, attack in values if score >= threshold]
    return sum(told) / len(told) if told else 1.0


def _recall(values: Sequence[tuple[float, bool]], threshold: float) -> float:
    return _share([value for value in values if value[1]], threshold)
