"""A text as a model may read it: disguises undone, and what stands in it encoded.

The plain view folds what looks alike (full-width, mathematical, Cyrillic and Greek letters, accents, characters that
nobody sees), escapes (`\\u0069`, `&#105;`, `%69`) and letters s p a c e d out. Other views are the same text with
digits for letters undone, in rot13 and backwards, and what base64 and hexadecimal runs in it hold. Each takes time
linear in the text.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
import unicodedata
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote

from tidegate.filtering.glyphs import letter

_ESCAPE: Final = re.compile(r"\\u([0-9a-fA-F]{4})|\\x([0-9a-fA-F]{2})")
_SPACED: Final = re.compile(r"(?<!\w)\w(?:[ .*_\-]\w(?!\w)){3,}")
_BLANK: Final = re.compile(r"\s+")
_LEET: Final = str.maketrans("013457@$!|", "oieastasil")
_LEETED: Final = re.compile(r"[^\W\d_][0134578@$!|]|[0134578@$!|][^\W\d_]")
_ROT13: Final = str.maketrans(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", "nopqrstuvwxyzabcdefghijklmNOPQRSTUVWXYZABCDEFGHIJKLM"
)
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")
_HEX: Final = re.compile(r"(?:[0-9a-fA-F]{2}[ :]?){12,}")
_DEPTH: Final = 2
_MANY: Final = 1 << 16
_WIDEST: Final = 4  # of what a character stands for; those that are whole sentences are no disguise of letters


class _Table(dict[int, str]):
    """Code point to what a reader sees, filled as they come, and bounded."""

    def __missing__(self, code: int) -> str:
        seen = _seen(chr(code))
        if len(self) < _MANY:
            self[code] = seen
        return seen


def _seen(char: str) -> str:
    if unicodedata.category(char) in ("Cc", "Cs"):
        return " "
    parts = unicodedata.normalize("NFKD", char)[:_WIDEST]
    return "".join([letter(part) for part in parts if unicodedata.category(part) != "Mn"]).casefold()


_TABLE: Final = _Table({code: chr(code).lower() for code in range(32, 127)})


def fold(text: str) -> str:
    """The plain view: in lower case, with single blanks."""
    if "\\" in text:
        text = _ESCAPE.sub(lambda mark: chr(int(mark[1] or mark[2], 16)), text)
    if "&" in text:
        text = html.unescape(text)
    if "%" in text:
        text = unquote(text, errors="replace")
    text = text.lower() if text.isascii() else text.translate(_TABLE)
    text = _SPACED.sub(lambda run: re.sub(r"\W|_", "", run[0]), text)
    return _BLANK.sub(" ", text)


def views(text: str, depth: int = 0) -> Iterator[str]:
    """The views of a text, the plain one first."""
    plain = fold(text)
    yield plain
    if depth:
        yield from _encoded(text, depth)
        return
    if _LEETED.search(plain):
        yield plain.translate(_LEET)
    yield plain.translate(_ROT13)
    yield plain[::-1]
    yield from _encoded(text, depth)


def _encoded(text: str, depth: int) -> Iterator[str]:
    """What stands in a text as base64 or hexadecimal; all of it as one text: so it costs no more than it is long."""
    if depth == _DEPTH:
        return
    for inner in (_joined(_BASE64, text, _of_base64), _joined(_HEX, text, _of_hex)):
        if inner:
            yield from views(inner, depth + 1)


def _joined(runs: re.Pattern[str], text: str, decode: object) -> str:
    assert callable(decode)  # noqa: S101 - one of the two below
    return "\n".join([inner for run in runs.finditer(text) if (inner := decode(run[0]))])


def _of_base64(run: str) -> str:
    run = run.rstrip("=").translate(str.maketrans("-_", "+/"))
    try:
        return _text(base64.b64decode(run[: len(run) - (len(run) % 4 == 1)] + "=" * (-len(run) % 4)))
    except (binascii.Error, ValueError):
        return ""


def _of_hex(run: str) -> str:
    digits = re.sub(r"[ :]", "", run)
    return _text(bytes.fromhex(digits[: len(digits) // 2 * 2]))


def _text(raw: bytes) -> str:
    """The text that bytes are, "" where they are none."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return ""
    return text if text.isprintable() or not re.search(r"[\x00-\x08\x0e-\x1f]", text) else ""
