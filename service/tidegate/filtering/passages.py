"""A text in sentences and lines: what a model reads at once. Where it is cut depends on the text alone.

A passage ends behind a line break, behind a sentence's end and the space that follows it, or at `LONGEST` characters:
there behind the last space, if it has one. Every character belongs to one passage.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

LONGEST: Final = 1000
"""Characters of the longest passage, and so the most that is held for one."""

_END = re.compile(r"\n|[.!?\u2026][\"')\]\u201d\u2019\u00bb*_]{0,4}\s|[\u3002\uff01\uff1f]")
_REACH: Final = 6  # characters of the longest end
_LAST_SPACE = re.compile(r"\s(?=\S*\Z)")
# No sentence ends behind a title, an initial or an abbreviation in the middle of one.
_NO_END = re.compile(
    r"(?:\b(?:Mrs?|Ms|Mx|Drs?|Prof|Sr|Jr|St|Mt|Rev|Hon|Gov|Sen|Rep|Gen|Col|Maj|Capt|Lt|Sgt|Insp|Supt|Msgr|Fr|Dipl|Ing|"
    r"Hr|Fr|vs|etc|cf|al|approx|No|Nr|e\.g|i\.e|z\.B|a\.k\.a)|(?<![^\W_])[^\W\d_])\.\Z"
)
_BEFORE: Final = 12  # characters that an abbreviation may take


class Passage(NamedTuple):
    """A piece of a text, and where in it it starts."""

    start: int
    text: str


class Passages:
    """Cuts one text. `decided` is where the passage starts that is not over yet."""

    def __init__(self) -> None:
        self.decided = 0
        self._text = ""
        self._looked = 0  # no end starts before it

    def feed(self, text: str) -> list[Passage]:
        """The passages that are over with this chunk."""
        self._text += text
        found: list[Passage] = []
        start = 0
        while (end := self._end(start)) is not None:
            found.append(Passage(self.decided, self._text[start:end]))
            self.decided += end - start
            self._looked = start = end
        self._text = self._text[start:]
        self._looked -= start
        return found

    def finish(self) -> list[Passage]:
        """The last passage, if there is one."""
        rest, self._text, self._looked = self._text, "", 0
        if not rest:
            return []
        passage = Passage(self.decided, rest)
        self.decided += len(rest)
        return [passage]

    def _end(self, start: int) -> int | None:
        """Where the passage that starts there ends; None when that is still open."""
        text, at, longest = self._text, max(self._looked, start), start + LONGEST
        while (match := _END.search(text, at, longest)) is not None:
            dot = match.start() + 1
            if match[0][0] != "." or _NO_END.search(text[max(start, dot - _BEFORE) : dot]) is None:
                return match.end()
            at = match.end() if match[0][-1] != "\n" else match.end() - 1
        if len(text) < longest:
            self._looked = max(at, len(text) - _REACH)
            return None
        space = _LAST_SPACE.search(text, start, longest)
        return space.end() if space else longest
