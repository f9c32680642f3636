"""The letters of a text as lists compare them: one spelling for every way to write a word, and places that map back.

`tidegate.filtering.view` keeps of a letter outside of ASCII only that it is one, which is enough for patterns. A list
holds words of every script, so here letters stay:

- what the view folds to ASCII (full-width, mathematical, look-alikes, digits, dashes, spaces, quotes) is that;
- other compatibility forms are what they stand for, and a letter with accents is the letter without (Unicode's
  canonical decomposition, UAX 15), so that an accent is no disguise;
- what cannot be seen is dropped, marks that are letters of their script (the vowels of Devanagari, say) are not;
- up to `MAX_SPACE` spaces and line ends in a row are one space: a term may be broken over two lines;
- case is folded where asked.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from tidegate.filtering.view import MAX_INVISIBLE, fold

MAX_SPACE: Final = 16
"""Spaces in a row that count as one; more end a term."""

WIDEST: Final = MAX_INVISIBLE + 1
"""Characters of the text that one letter of it may take, with those that nobody sees after it."""

_TABLE_LIMIT: Final = 1 << 16
_SPACES: Final = re.compile("  +")
_DROPPED: Final = frozenset({"Cf", "Me"})
_MARKS: Final = re.compile(
    "[\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0670\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe00-\ufe0f\ufe20-\ufe2f]"
)
UNSPACED: Final = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Letters of scripts that put no space between words, as a class of a pattern."""

_UNSPACED: Final = re.compile(f"[{UNSPACED}]")


def _letter(char: str) -> str:
    """One code point as it is compared, in its own case: any number of characters."""
    if char.isspace():
        return " "
    view = fold(char).view
    if view and view[0] < 0x80:
        return view.decode("ascii")
    if not view and (unicodedata.category(char) in _DROPPED or _MARKS.match(char)):
        return ""
    if unicodedata.category(char) == "Cs":
        return "\ufffd"  # half a character: no term has one
    plain = []
    for part in unicodedata.normalize("NFKC", char):
        apart = unicodedata.normalize("NFD", part)
        plain.append(part if any(not _MARKS.match(mark) for mark in apart[1:]) else apart[0])
    return "".join(" " if part.isspace() else fold(part).view.decode("ascii", "ignore") or part for part in plain)


class _Table(dict[int, str]):
    """Code point to letters, filled as they come; its size is bounded, so that no text can make it grow."""

    def __init__(self, *, cased: bool) -> None:
        self._cased = cased

    def __missing__(self, code: int) -> str:
        letters = _letter(chr(code))
        if not self._cased:
            letters = "".join(map(_letter, letters.casefold()))
        if len(self) < _TABLE_LIMIT:
            self[code] = letters
        return letters


_CASED, _FOLDED = _Table(cased=True), _Table(cased=False)


class Letters:
    """A text and its `letters`, with the way back from a place in these: the same place where they are `straight`."""

    __slots__ = ("_places", "_raw", "_table", "letters", "straight")

    def __init__(self, text: str, *, cased: bool = False) -> None:
        self._raw = text
        self._table = _CASED if cased else _FOLDED
        self._places: list[int] | None = None
        letters = text.translate(self._table)
        self.letters = _SPACES.sub(_one, letters) if "  " in letters else letters
        self.straight = text.isascii() and len(self.letters) == len(text)

    def place(self, at: int) -> int:
        """Where in the text the letter of that number stands; the length of the text for the number after the last."""
        if at >= len(self.letters):
            return len(self._raw)
        return at if self.straight else self._map()[at]

    def past(self, at: int) -> int:
        """Where in the text that which the letter before that number belongs to ends. Raises IndexError for 0."""
        if not at:
            raise IndexError("there is no letter before the first one")
        return self.place(at - 1) + 1

    def _map(self) -> list[int]:
        if self._places is None:
            table = self._table
            places = [place for place, char in enumerate(self._raw) for _ in table[ord(char)]]
            if len(places) != len(self.letters):
                places = self._without_runs(places)
            self._places = places
        return self._places

    def _without_runs(self, places: list[int]) -> list[int]:
        """The places less those of spaces that count as one with the first of their run."""
        kept: list[int] = []
        at = 0
        for run in _SPACES.finditer(self._raw.translate(self._table)):
            if run.end() - run.start() <= MAX_SPACE:
                kept += places[at : run.start() + 1]
                at = run.end()
        return kept + places[at:]


def letters_of(text: str, *, cased: bool = False) -> str:
    """The letters of a whole text, without spaces around them."""
    return Letters(text, cased=cased).letters.strip(" ")


def spelled(term: str, *, cased: bool = False) -> frozenset[str]:
    """Every row of letters that is this term: a letter's two cases may look like letters of different scripts."""
    cases = {term} if cased else {term, term.lower(), term.upper(), term.title()}
    return frozenset(letters for case in cases if (letters := letters_of(case, cased=cased)))


def is_word(char: str) -> bool:
    """Whether a letter or digit goes on with a word; scripts that put no space between words have none that do."""
    return char.isalnum() and not _UNSPACED.match(char)


def joins(before: str, first: str) -> bool:
    """Whether a word goes on from the letters `before` (the last two will do) to the letter `first`."""
    if not before or not is_word(first) or not is_word(before[-1]):
        return False
    return not (before[-1] in "nrt" and before[-2:-1] == "\\")  # an escaped line end, in a text that is code


def _one(run: re.Match[str]) -> str:
    return " " if run.end() - run.start() <= MAX_SPACE else run[0]
