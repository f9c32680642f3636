"""A passage as words, its disguises undone: what the classifier counts.

Beside what the normalised view folds away (`tidegate.filtering.view`), writers hide words from filters in four ways:
signs and digits for letters (`b1tch`), letters drawn out (`stuuuupid`), stars (`st*pid`) and letters apart (`d i e`).
The first two are undone where the word is known otherwise; stars stay, for the classifier reads parts of words, too.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container
from typing import Final

from tidegate.filtering.detector import UNANCHORED, matcher
from tidegate.filtering.glyphs import DROPPED, GLYPHS, LETTER, STOP
from tidegate.filtering.view import plain

LONGEST: Final = 24
"""What is read of a word, in characters: nobody needs more to recognise one."""

_TOKEN = re.compile(r"[^\W_](?:[\w*@$!+']*[\w*@$+])?|[@$*](?=[^\W_])[\w*@$!+']*[\w$*]")
_APART = matcher(r"(?i)(?:^|[^0-9A-Za-z'])[a-z](?:[ ._*-][a-z]){2,}(?:[^0-9A-Za-z']|\z)")
_ESCAPED = matcher(r"&(?:#[0-9xX]|[A-Za-z]{2,8};)|%[0-9A-Fa-f]{2}|\\(?:[xuU][0-9A-Fa-f{]|N\{|[0-7]{2})")
_LETTERS_APART = re.compile(r"(?<![^\W_'])[^\W\d_](?:[ ._*\-][^\W\d_]){2,}(?![^\W_'])")
_BETWEEN = re.compile(r"[ ._*\-]")
_LEET = str.maketrans("0134578@$!+", "oieastbasit")
_SIGNED = re.compile(r"[^a-z]")
_DIGITS = re.compile(r"\d{3}")
_DRAWN_OUT = re.compile(r"(.)\1{2,}")
_TABLE_LIMIT: Final = 1 << 16


def _read(code: int) -> str:
    """A code point as a reader takes it: folded, without its accent, in lower case."""
    glyph = ord(GLYPHS[code])
    if glyph == DROPPED:
        return ""
    if glyph == LETTER:
        base = unicodedata.normalize("NFKD", chr(code))
        return "".join(one for one in base if not unicodedata.combining(one)).lower()
    return "." if glyph == STOP else chr(glyph).lower() if glyph < DROPPED else " "


class _Table(dict[int, str]):
    """Bounded, so that no text can make it grow."""

    def __missing__(self, code: int) -> str:
        read = _read(code)
        if len(self) < _TABLE_LIMIT:
            self[code] = read
        return read


_READ = _Table()


def tokens(text: str) -> list[str]:
    """The words of a passage as they stand there, folded and in lower case."""
    view = text.encode("ascii", "replace")
    if _ESCAPED(UNANCHORED, view, 0, len(view))[0][0] >= 0:
        text = plain(text)
    text = text.lower() if text.isascii() else text.translate(_READ)
    if len(text) != len(view) or not text.isascii():
        view = text.encode("ascii", "replace")
    if _APART(UNANCHORED, view, 0, len(view))[0][0] >= 0:
        text = _LETTERS_APART.sub(lambda found: _BETWEEN.sub("", found[0]), text)
    return _TOKEN.findall(text.replace("_", " ") if "_" in text else text)


def canonical(token: str, known: Container[str]) -> str:
    """The word that a token stands for; `known` are the words that a guess may be."""
    word = token[:LONGEST].replace("'s", "").replace("'", "")
    if _SIGNED.search(word) and word.isascii():
        if word.isdigit() or _DIGITS.search(word):
            return "0"
        word = word.translate(_LEET)
    if _DRAWN_OUT.search(word):
        once = _DRAWN_OUT.sub(r"\1", word)
        twice = _DRAWN_OUT.sub(r"\1\1", word)
        return twice if twice in known and once not in known else once
    return word
