"""What a code point looks like: one byte of the normalised view.

- Compatibility forms of ASCII (full-width, mathematical, circled, superscript) are that ASCII character, decimal digits
  of every script 0-9, dashes `-`, spaces a space, typographic quotes `'` and `"`;
- what cannot be seen by itself (zero-width characters, joiners, soft hyphen, variation selectors, bidirectional marks,
  combining marks) is `DROPPED`;
- Cyrillic, Greek and other letters that look like a Latin one are that one (a choice from Unicode's confusables, UTS
  39, of letters that most fonts draw alike);
- other letters are `LETTER`, the ideographic full stop `STOP`, and all else `OTHER`.
"""

from __future__ import annotations

import unicodedata
from typing import Final

LETTER: Final = 0xC0
STOP: Final = 0xB7
OTHER: Final = 0xA0
DROPPED: Final = 0x80

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


def _look(char: str) -> str:
    if char in _SPECIAL:
        return _SPECIAL[char]
    if ord(char) in _ALIKE:
        return chr(_ALIKE[ord(char)])
    category = unicodedata.category(char)
    if category in {"Mn", "Me", "Cf"} or char in _FILLERS:
        return chr(DROPPED)
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
        look = _look(chr(code))
        if len(self) < _TABLE_LIMIT:
            self[code] = look
        return look


GLYPHS: Final = _Table({code: chr(code) for code in range(128)})
"""Code point to the character of the view, for `str.translate`."""


def letter(char: str) -> str:
    """A character as it is compared and shown: disguises undone, letters outside ASCII kept, "" where it has none."""
    glyph = GLYPHS[ord(char)]
    match ord(glyph):
        case 0x80:
            return ""
        case 0xC0 | 0xA0:
            return unicodedata.normalize("NFKC", char)
        case 0xB7:
            return "."
    return glyph
