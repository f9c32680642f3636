"""The normalised view: what a reader sees, one byte a visible code point, so that a disguise does not hide a value.

Detection reads the view and never the text, and replacement maps back. Folding looks at one code point at a time:

- compatibility forms of ASCII (full-width, mathematical, circled, superscript) become that ASCII character, decimal
  digits of every script become 0-9, dashes become `-`, spaces become a space, typographic quotes become `'` and `"`;
- what cannot be seen by itself (zero-width characters, joiners, soft hyphen, variation selectors, bidirectional
  marks, combining marks) is dropped, and belongs to a match only when it stands inside one;
- Cyrillic, Greek and other letters that look like a Latin one become that one (a choice from Unicode's confusables, UTS
  39, of letters that most fonts draw alike);
- other letters become the one byte `LETTER`, the ideographic full stop `STOP`, and all else `OTHER`.

As a view has at most one byte a code point, offsets in text without dropped characters need no map at all. A run of
more than `MAX_INVISIBLE` dropped characters is cut to that length, in the text too: nobody sees the difference, and
neither the memory that a held value takes nor a place to hide in stays without bound.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from typing import NamedTuple

LETTER = 0xC0
STOP = 0xB7
OTHER = 0xA0
MAX_INVISIBLE = 16
"""Dropped characters that may follow each other, in code points."""

_DROPPED = 0x80
_DROPPED_RUN = re.compile(rb"\x80+")
_FILLERS = frozenset("\u115f\u1160\u3164\uffa0")
_TABLE_LIMIT = 1 << 16
_SPECIAL = {
    "\u0085": "\n", "\u2028": "\n", "\u2029": "\n",
    "\u2212": "-", "\u2043": "-", "\u02d7": "-",
    "\u2018": "'", "\u2019": "'", "\u02bc": "'", "\u201c": '"', "\u201d": '"',
    "\u3002": chr(STOP), "\uff61": chr(STOP), "\ufe12": chr(STOP),
}  # fmt: skip
_ALIKE = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u04bb\u0501\u051b\u051d\u04cf"  # Cyrillic
    "\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0425\u0423\u0406\u0408\u0405"
    "\u03b1\u03bf\u03bd\u03c1\u03b9\u03ba\u03c5\u03c7"  # Greek
    "\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7"
    "\u0131\u0251\u0261",  # dotless i, Latin alpha, script g
    "aeopcyxijshdqwlABEKMHOPCTXYIJSaovpikuxABEZHIKMNOPTYXiag",
)


def _fold(char: str) -> str:
    if char in _SPECIAL:
        return _SPECIAL[char]
    if ord(char) in _ALIKE:
        return chr(_ALIKE[ord(char)])
    category = unicodedata.category(char)
    if category in {"Mn", "Me", "Cf"} or char in _FILLERS:
        return chr(_DROPPED)
    if category == "Zs":
        return " "
    if category == "Pd":
        return "-"
    digit = unicodedata.digit(char, None)
    if digit is not None:
        return str(digit)
    plain = unicodedata.normalize("NFKC", char)
    if len(plain) == 1 and plain.isascii():
        return plain
    return chr(LETTER if category[0] in "LN" or category == "Mc" else OTHER)


class _Table(dict[int, str]):
    """Code point to view character, filled as they come; its size is bounded, so that no text can make it grow."""

    def __missing__(self, code: int) -> str:
        folded = _fold(chr(code))
        if len(self) < _TABLE_LIMIT:
            self[code] = folded
        return folded


_TABLE = _Table({code: chr(code) for code in range(128)})


class Folded(NamedTuple):
    """A piece of text and its view.

    `ranks` has, for every dropped character in order, the number of visible ones before it. `invisible` is the length
    of the run of dropped characters that the text ends with.
    """

    text: str
    view: bytes
    ranks: list[int]
    invisible: int


def fold(text: str, invisible: int = 0) -> Folded:
    """The view of a text that follows a run of `invisible` dropped characters. Lone surrogates are read as `OTHER`."""
    if text.isascii():
        return Folded(text, text.encode(), [], 0 if text else invisible)
    raw = text.translate(_TABLE).encode("latin-1")
    if _DROPPED not in raw:
        return Folded(text, raw, [], 0)
    kept: list[str] = []
    ranks: list[int] = []
    at = dropped = 0
    for run in _DROPPED_RUN.finditer(raw):
        start, end = run.span()
        before = invisible if start == 0 else 0
        stay = max(0, min(end - start, MAX_INVISIBLE - before))
        kept.append(text[at : start + stay])
        ranks += [start - dropped] * stay
        at, dropped = end, dropped + end - start
        tail = before + stay if end == len(raw) else 0
    kept.append(text[at:])
    return Folded("".join(kept), raw.replace(b"\x80", b""), ranks, tail)


def position(ranks: list[int], visible: int) -> int:
    """Where in the text the visible character of that number stands."""
    return visible + bisect_right(ranks, visible) if ranks else visible


def plain(text: str) -> str:
    """What a reader sees in a matched value, as text: disguises undone and letters kept."""
    return "".join(_plain(char) for char in text)


def _plain(char: str) -> str:
    folded = _TABLE[ord(char)]
    match ord(folded):
        case 0x80:
            return ""
        case 0xC0 | 0xA0:
            return unicodedata.normalize("NFKC", char)
        case 0xB7:
            return "."
    return folded
