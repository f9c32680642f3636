"""What is told of each word that is asked about: itself and its neighbours, as written, listed and marked by models.

A feature is a place in a table of weights, by a hash of its text: so the table has a fixed size, and no word is in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple
from zlib import crc32

from tidegate.filtering.ner.lists import marks
from tidegate.filtering.ner.words import Word, Words, shape

PLACES: Final = 1 << 17
"""Weights of each label; a power of two."""

Shares = Sequence[tuple[int, int]]
"""For each word in which of `STEPS` the second model's shares of a place and of a person are."""

STEPS: Final = (0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98)
_BEFORE_NAMES: Final = frozenset(
    """
    mr mrs ms mx miss dr prof professor sir lady lord president senator sen rep gov governor judge justice captain capt
    col colonel gen general lt sgt major rev father sister brother king queen prince princess saint st uncle aunt pope
    minister chancellor secretary ambassador coach chairman ceo director manager author actor actress singer poet
    writer novelist composer scientist mathematician physicist artist painter philosopher wife husband son daughter
    mother colleague friend dear hi hello hey thanks regards cheers sincerely love named called by
    """.split()  # noqa: SIM905 - words read better than a list of strings
)


class _Side(NamedTuple):
    """The words of a sentence with what is known of each, and blanks on both sides: word n is at n + 2."""

    low: list[str]
    shapes: list[str]
    labels: list[str]
    lists: list[str]
    shares: list[str]


def features(words: Words, labels: Sequence[str], shares: Shares | None) -> dict[int, list[int]]:
    """The features of each word that is asked about, by its number. `shares` are None without a second model."""
    listed = marks()
    texts = [word.text for word in words.words]
    low = [text.lower().replace("\u2019", "'") for text in texts]
    around = _Side(
        ["<", "<", *low, ">", ">"],
        ["<", "<", *map(shape, texts), ">", ">"],
        ["<", "<", *labels, "<", "<"],
        ["<", "<", *(listed.get(text, "-") for text in low), "<", "<"],
        ["<", "<", *(f"{place}.{person}" for place, person in shares or ()), "<", "<"],
    )
    manner = _manner(words.words)
    second = int(bool(texts) and not texts[0][0].isalpha())  # a sentence begins with its first word, not with a sign
    return {
        at: [
            crc32(feature.encode("utf-8", "surrogatepass")) & (PLACES - 1)
            for feature in _told(around, at + 2, manner, first=at <= second, seconded=shares is not None)
        ]
        for at, ask in enumerate(words.asked)
        if ask
    }


def _told(side: _Side, at: int, manner: str, *, first: bool, seconded: bool) -> list[str]:
    word, before, after = side.low[at], side.low[at - 1], side.low[at + 1]
    how, how_before, how_after = side.shapes[at], side.shapes[at - 1], side.shapes[at + 1]
    label, label_before, label_after = side.labels[at], side.labels[at - 1], side.labels[at + 1]
    known, known_before, known_after = side.lists[at], side.lists[at - 1], side.lists[at + 1]
    title = before if before in _BEFORE_NAMES else side.low[at - 2] if side.low[at - 2] in _BEFORE_NAMES else ""
    told = [
        "",
        f"w{word}", f"w-{before}", f"w+{after}", f"w--{side.low[at - 2]}", f"w++{side.low[at + 2]}",
        f"wb{before}|{word}", f"wa{word}|{after}",
        f"s{how_before}{how}{how_after}", f"S{side.shapes[at - 2]}{how_before}{how}{how_after}{side.shapes[at + 2]}",
        f"f{how}{first}{manner}", f"m{manner}", f"n{min(len(word), 8)}",
        f"e2{word[-2:]}", f"e3{word[-3:]}{how}", f"e4{word[-4:]}", f"b3{word[:3]}", f"b4{word[:4]}{how}",
        f"k{known}", f"ks{known}{how}{first}", f"kb{known_before}{known}", f"ka{known}{known_after}",
        f"k3{known_before}{known}{known_after}", f"kl{known}{label}",
        f"l{label}", f"lb{label_before}{label}", f"la{label}{label_after}", f"l3{label_before}{label}{label_after}",
        f"ls{label}{how}{first}", f"lw{label}{word}", f"lwb{label}{before}", f"lwa{label}{after}", f"lm{label}{manner}",
        f"l-{label_before}", f"l+{label_after}", f"le{label}{word[-3:]}",
        f"t{title}", f"ts{bool(title)}{how}",
    ]  # fmt: skip
    if seconded:
        share, share_before, share_after = side.shares[at], side.shares[at - 1], side.shares[at + 1]
        told += (
            f"r{share}", f"rl{share}{label}", f"rb{share_before}{share}", f"ra{share}{share_after}",
            f"rs{share}{how}{first}", f"rk{share}{known}", f"rlk{share}{label}{known}", f"rm{share}{manner}",
            f"r3{share[2:]}|{share_before}|{share_after}",
        )  # fmt: skip
    return told


def _manner(words: Sequence[Word]) -> str:
    """How a sentence is written: mostly in capitals, as a heading, in sentences, or without capitals; and how long."""
    letters = [word.text for word in words if word.text[0].isalpha()]
    size = max(1, len(letters))
    begun = sum(text[0].isupper() for text in letters) / size
    loud = sum(text.isupper() and len(text) > 1 for text in letters) / size
    style = "A" if loud > 0.6 else "T" if begun > 0.7 else "n" if begun else "l"
    return f"{style}{min(3, len(letters) // 4)}"
