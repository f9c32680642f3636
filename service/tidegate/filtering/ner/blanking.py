"""What of a text is no language: code, addresses and markup become spaces before a model of names sees it.

Models take identifiers and paths for names, and markup spoils the words beside it. Every character keeps its place.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

_FENCE: Final = re.compile(r"[ \t]{0,8}(?:(?:[-*+>]|\d{1,9}[.)])[ \t]{1,4})*(`{3,}|~{3,})")
_INLINE: Final = re.compile(r"(?<!`)(`{1,3})(?!`)[^\n]*?(?<!`)\1(?!`)")
_NO_LANGUAGE: Final = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]{1,15}://[^\s<>\"]+"
    r"|\bwww\.[^\s<>\"]+"
    r"|[^\s@<>()\[\]\"',;:]{1,64}@[^\s@<>()\[\]\"',;:]+"  # addresses (RFC 5321, section 4.5.3.1.1)
    r"|(?<!\S)(?:~|\.{1,2})?(?:/[\w.@%+-]+){2,}/?"  # paths
    r"|\b[A-Za-z]:\\\S+"
    r"|\[[A-Z][A-Z0-9_]*(?:[:_][0-9a-f]+)?\]"  # what the patterns put in place of a value
    r"|</?[A-Za-z!][^<>\n]*>"
    r"|\A[ \t]*(?:(?:async|export|pub|public|static)[ ])*(?:def|fn|func|function)[ ]\w+[ ]?\(.*"  # a function begins
    r"|\A[ \t]*\w+(?:,[ ]?\w+)+(?=[ ]=[ ])"  # what an assignment names
)
_MARKUP: Final = re.compile(
    r"\A[ \t]*(?:#{1,6}(?=\s)|>(?=\s)|[-*+\u2022](?=\s)|\d{1,3}[.)](?=\s))+"
    r"|\*{1,3}|(?<![^\W_])_{1,3}|_{1,3}(?![^\W_])|~~|\||[\[\]]"
)


_PLAIN: Final = re.compile(r"[^\W\d_][^`*_~|\[\]/\\@<>=(]*+")  # has nothing of all this, which most sentences have not
_BLANKS: Final = re.compile(r"\s\s+|[^\S ]")


class Blanking:
    """One text, passage by passage: a block of code may go on over many of them."""

    def __init__(self) -> None:
        self._fence = ""
        self._fresh = True  # a line begins

    def take(self, passage: str) -> str:
        """The next passage, as long as it came."""
        if not self._fence and _PLAIN.fullmatch(passage) and "www" not in passage:
            self._fresh = passage.endswith("\n")
            return passage
        fresh, self._fresh = self._fresh, passage.endswith("\n")
        fence = _FENCE.match(passage) if fresh else None
        if self._fence:
            if fence is not None and fence[1].startswith(self._fence) and not passage[fence.end() :].strip("`~ \t\r\n"):
                self._fence = ""
            return " " * len(passage)
        if fence is not None and "`" not in passage[fence.end() :]:
            self._fence = fence[1]
            return " " * len(passage)
        return _MARKUP.sub(_spaces, _NO_LANGUAGE.sub(_spaces, _INLINE.sub(_spaces, passage)))


class Packed(NamedTuple):
    """A sentence with every run of blanks as one space; `places` are those that its characters had, where any moved."""

    text: str
    places: Sequence[int]

    def at(self, start: int, end: int) -> tuple[int, int]:
        """Where characters `start` to `end` stood."""
        return self.places[start], self.places[end - 1] + 1


def pack(sentence: str) -> Packed:
    """What a model reads: blanks in numbers would be words to it."""
    kept: list[str] = []
    places: list[int] = []
    at = 0
    for run in _BLANKS.finditer(sentence):
        kept += (sentence[at : run.start()], " ")
        places += range(at, run.start() + 1)
        at = run.end()
    if not kept:
        return Packed(sentence, range(len(sentence)))
    return Packed("".join([*kept, sentence[at:]]), [*places, *range(at, len(sentence))])


def _spaces(match: re.Match[str]) -> str:
    return " " * len(match[0])
