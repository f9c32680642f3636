"""The words of a sentence, and what the models and the lists say of each."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Final, NamedTuple

from tidegate.filtering.ner.candidates import NO_NAMES

_WORD: Final = re.compile(r"[^\W\d_]+(?:['\u2019](?![sS]\b)[^\W\d_]+)*|\d+|['\u2019][sS]\b|[^\w\s]|_")
LINKS: Final = frozenset(
    """
    - \u2010 \u2011 . , ' \u2019 & / of the and de da do dos das del della di du des la le los las van von der den ter
    zu bin ibn al el y e for in on at to upon ben san abu
    """.split()  # noqa: SIM905 - words read better than a list of strings
)
"""What may stand between the words of one name."""

_MOST_LINKS: Final = 2
_ADDRESSES: Final = frozenset({"Mr", "Mrs", "Ms", "Mx", "Dr", "Prof"})


class Word(NamedTuple):
    """A word, number or sign: characters `start` to `end`."""

    text: str
    start: int
    end: int


class Span(NamedTuple):
    """What a model marked: characters `start` to `end`, under the model's own label."""

    label: str
    start: int
    end: int


class Words(NamedTuple):
    """A sentence in words. `core` are those that may be part of a name by themselves, `asked` those and their links."""

    words: Sequence[Word]
    core: Sequence[bool]
    asked: Sequence[bool]


def words_of(sentence: str) -> list[Word]:
    """The words, numbers and signs of a sentence."""
    return [Word(match[0], match.start(), match.end()) for match in _WORD.finditer(sentence)]


def labels(words: Sequence[Word], spans: Sequence[Span]) -> list[str]:
    """For each word the label of its span and where in it the word is: alone, at its beginning, inside, at its end."""
    found = ["-"] * len(words)
    starts, ends = [word.start for word in words], [word.end for word in words]
    for span in spans:
        within = range(bisect_right(ends, span.start), bisect_left(starts, span.end))
        for order, at in enumerate(within):
            place = "S" if len(within) == 1 else "B" if order == 0 else "E" if order == len(within) - 1 else "I"
            found[at] = place + span.label
    return found


def asked(words: Sequence[Word], marked: Sequence[bool]) -> Words:
    """Which words to ask about: those with capitals or of a script without, and those that a model has `marked`."""
    core = [
        word.text[0].isalpha() and (not word.text.islower() or mark) for word, mark in zip(words, marked, strict=True)
    ]
    asked = [own or (mark and _may_link(word)) for own, mark, word in zip(core, marked, words, strict=True)]
    last = -1
    for at, own in enumerate(core):
        if own:
            between = words[last + 1 : at]
            if last >= 0 and len(between) <= _MOST_LINKS and all(word.text.lower() in LINKS for word in between):
                asked[last + 1 : at] = [True] * len(between)
            last = at
    return Words(words, core, _worth_asking(words, marked, asked))


def _worth_asking(words: Sequence[Word], marked: Sequence[bool], asked: list[bool]) -> list[bool]:
    """Without the runs of words that are nobody's name and not marked: most just begin a sentence."""
    at = 0
    while at < len(asked):
        end = at
        while end < len(asked) and asked[end]:
            end += 1
        run = range(at, end)
        if not any(marked[each] or (words[each].text.replace("\u2019", "'") not in NO_NAMES) for each in run):
            asked[at:end] = [False] * len(run)
        at = end + 1
    return asked


def _may_link(word: Word) -> bool:
    return word.text[0].isalnum() or word.text in LINKS


def addressed(words: Words, at: int) -> bool:
    """Whether a word that may be a name stands behind a form of address: Mr. Byron."""
    before = at - 2 if at > 1 and words.words[at - 1].text == "." else at - 1
    return before >= 0 and words.core[at] and words.words[before].text in _ADDRESSES


def shape(word: str) -> str:
    """How a word is written."""
    if word.isdigit():
        return "d"
    if not word[0].isalnum():
        return word if len(word) == 1 else "p"
    if word.isupper():
        return "X" if len(word) == 1 else "XX" if len(word) <= 4 else "XXX"
    if word.islower():
        return "x"
    if word[0].isupper() and word[1:].islower():
        return "Xx" if len(word) > 2 else "Xy"
    return "c" if word.lower() == word.upper() else "M"
