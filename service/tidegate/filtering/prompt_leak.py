"""Passages of a registered text, such as an endpoint's system prompt, that are said again.

Compared are rows of words (n-grams; Broder, On the resemblance and containment of documents, 1997), by their letters
(`tidegate.filtering.letters`): case, accents, disguises, spaces and punctuation make no difference, nor does a space
that is written as a character reference, an escape or a tag, or a number that counts the words. All rows are kept, not
a choice of them as in winnowing, so no passage of that many words goes unseen. Only their hashes are in memory.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from tidegate.filtering.letters import UNSPACED, WIDEST, Letters
from tidegate.filtering.spotting import Effort, Mark

SYSTEM_PROMPT: Final = "SYSTEM_PROMPT"

_WORD_LONGEST: Final = 32  # letters; a longer word is several
_GAP: Final = 64  # characters between two words of a row
_PIECE: Final = 1024  # characters of a passage that are told of at once
_TAGS: Final = (
    "b|i|u|s|em|strong|p|br|hr|span|div|li|ul|ol|td|th|tr|table|code|pre|small|sub|sup|mark|h[1-6]|blockquote"
)
_BETWEEN: Final = (
    rf"</?(?:{_TAGS}) ?/?>|&(?:nbsp|ensp|emsp|thinsp|newline|tab|#(?:9|10|13|32|160|x[9ad]|xa0|x20));"
    r"|%(?:20|0[9ad]|a0)|\\(?:[nrt]|u00(?:20|a0|0[9ad]))|\d{1,4}(?![^\W_])"
)
"""What stands for a space, and numbers. Whoever reads it sees nothing that was said."""
_HALF: Final = re.compile(r"(?:<[^<>]{0,14}|&#?\w{0,8}|%\w?|\\(?:u\w{0,3})?)\Z")
_HALF_LONGEST: Final = 16
_WORD: Final = re.compile(rf"{_BETWEEN}|([{UNSPACED}]|[^\W_{UNSPACED}]{{1,{_WORD_LONGEST}}})", re.IGNORECASE)


class PromptSpotter:
    """Finds rows of `words` words or more that `text` has too. Stateless, and shared between threads."""

    entities = frozenset({SYSTEM_PROMPT})
    effort = Effort.QUICK

    def __init__(self, text: str, words: int) -> None:
        self.words = words
        self.rows = frozenset(rows_of(words_of(text), words))
        self.cap = _PIECE + (words + 1) * (_WORD_LONGEST * WIDEST + _GAP)

    def open(self) -> PromptReading:
        """Begin with a text."""
        return PromptReading(self)


class PromptReading:
    """One text beside a prompt."""

    def __init__(self, prompt: PromptSpotter) -> None:
        self._prompt = prompt
        self._text = ""  # from the first word on that may go on
        self._base = 0  # where that starts
        self._skip = 0  # letters of its first character that belong to words before
        self._words: list[str] = []  # with which a row may begin that is not complete
        self._spans: list[tuple[int, int]] = []  # where they stand
        self._passage: tuple[int, int] | None = None  # one that may go on
        self._told = 0  # the end of what was told
        self._marks: list[Mark] = []

    @property
    def decided(self) -> int:
        """The place before which all is told."""
        start = self._spans[0][0] if self._spans else self._base
        return start if self._passage is None else min(start, self._passage[0])

    def feed(self, text: str) -> Sequence[Mark]:
        """What is certain now."""
        return self._read(text, final=False)

    def finish(self) -> Sequence[Mark]:
        """What the end makes certain."""
        return self._read("", final=True)

    def _read(self, text: str, *, final: bool) -> list[Mark]:
        self._text += text
        self._marks = []
        self._take(final)
        words, spans, size = self._words, self._spans, self._prompt.words
        gaps = [at for at, (one, two) in enumerate(pairwise(spans)) if two[0] - one[1] > _GAP]
        last = -1  # the row before, if that is one of the prompt's
        for at, row in enumerate(rows_of(words, size)):
            if row not in self._prompt.rows or _any_between(gaps, at, at + size - 1):
                continue
            if at != last + 1:
                self._close()
            last = at
            self._meet(spans[at][0], spans[at + size - 1])
        if len(words) >= size and last != len(words) - size:
            self._close()
        keep = max(0, len(words) - size + 1, gaps[-1] + 1 if gaps else 0)
        self._words, self._spans = words[keep:], spans[keep:]
        if final or (self._spans and self._base - self._spans[-1][1] > _GAP):
            self._close()
            self._words, self._spans = [], []
        return self._marks

    def _take(self, final: bool) -> None:
        """Take the words that no more text can change. What is left is kept for the next time."""
        view, base = Letters(self._text), self._base
        letters = view.letters
        half = None if final else _HALF.search(letters, max(self._skip, len(letters) - _HALF_LONGEST))
        first = len(letters) if half is None else half.start()
        found = [*_WORD.finditer(letters, self._skip, first)]
        cut, self._skip = len(self._text), 0
        if found and not final and found[-1].end() == len(letters):
            first = found.pop().start()
        if first < len(letters):
            cut = view.place(first)
            while self._skip < first and view.place(first - self._skip - 1) == cut:
                self._skip += 1
        found = [word for word in found if word[1]]
        self._words += [word[0] for word in found]
        if view.straight:
            self._spans += [(base + word.start(), base + word.end()) for word in found]
        else:
            self._spans += [(base + view.place(word.start()), base + view.past(word.end())) for word in found]
        self._text = self._text[cut:]
        self._base += cut

    def _meet(self, start: int, last: tuple[int, int]) -> None:
        """A row from `start` to the word `last` is in the prompt."""
        start = start if self._passage is None else self._passage[0]
        self._passage = start, last[1]
        if last[1] - start > _PIECE:
            self._close()
            self._passage = last  # so that the next piece overlaps with this one, and both are one value

    def _close(self) -> None:
        if self._passage is not None and self._passage[1] > self._told:
            self._marks.append(Mark(SYSTEM_PROMPT, "prompt", *self._passage))
            self._told = self._passage[1]
        self._passage = None


def words_of(text: str) -> list[str]:
    """The words that a text is compared by."""
    return [word for word in _WORD.findall(Letters(text).letters) if word]


def rows_of(words: Sequence[str], size: int) -> Iterator[int]:
    """The hashes of the rows of so many words, one for each word that begins one."""
    return map(hash, zip(*(words[at:] for at in range(size)), strict=False))


def _any_between(places: Sequence[int], start: int, end: int) -> bool:
    """Whether one of the places, which are in order, is from `start` on and before `end`."""
    return bool(places) and bisect_left(places, start) < bisect_left(places, end)
