"""Sentences made from the patterns of sentences.yaml, and disguised as people disguise what a filter looks for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random

import yaml

from tests.training.safety_examples import HARMLESS, Example, labels

_PATTERNS = Path(__file__).with_name("sentences.yaml")
_SLOT = re.compile(r"\{(\w+)\}")
_CHOICE = re.compile(r"\(([^()]*\|[^()]*)\)")
_LOST = 0.08


def sentences_of_patterns() -> dict[str, list[str]]:
    """The patterns by category, `harmless` and `slots` among the keys."""
    loaded: dict[str, list[str]] = yaml.safe_load(_PATTERNS.read_text(encoding="utf-8"))
    return loaded


def group_words() -> frozenset[str]:
    """The words that name a group of people by themselves; `black` does not."""
    slots = sentences_of_patterns()["slots"]
    ambiguous = {
        "black", "white", "foreign", "female", "male", "disabled", "asian", "blacks", "whites", "polish", "poles",
    }  # fmt: skip
    return frozenset(word for name in ("group", "groupadj") for word in slots[name] if " " not in word) - ambiguous  # type: ignore[call-overload]


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
