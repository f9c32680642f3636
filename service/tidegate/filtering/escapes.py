"""Characters written as escapes, in a normalised view: each is one unit, whatever it is written in.

- Character references of HTML (HTML Living Standard, section 13.5): `&#64;` `&#x40;` (the semicolon may be missing),
  `&commat;`, of those names that stand for one character that a value can have;
- percent-encoding (RFC 3986, section 2.1) of ASCII and of UTF-8, and the `%u0040` of ECMAScript's `escape`;
- `\\x40` `\\u0040` `\\u{40}` `\\U00000040` `\\100` `\\N{COMMERCIAL AT}` as programming languages and JSON write them,
  behind up to `_BACKSLASHES` backslashes, which is what quoting a text over and over makes of one.

Numbers may begin with zeros, as HTML and ECMAScript allow them to.

What is none stands for itself: an unknown name, bytes that are no UTF-8, control characters, more than `MAX_WRITTEN`
characters; and a space that is followed by an at sign, because what it parts is an address to whoever reads it as it
is written.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Callable
from html.entities import html5
from typing import Final
from urllib.parse import unquote_to_bytes

from tidegate.filtering import grammar
from tidegate.filtering.detector import UNANCHORED, matcher
from tidegate.filtering.glyphs import DROPPED, GLYPHS, OTHER
from tidegate.filtering.offsets import Unit

MAX_WRITTEN: Final = 64
"""Characters of a text that are read as one escape, escapes within it and what cannot be seen included."""

_BACKSLASHES = 8
_KNOWN = 1 << 14  # bounds the memory that a hostile text can fill
_NAMES = {
    name.encode(): char
    for name, char in html5.items()
    if name[-1] == ";" and len(char) == 1 and (char < "\u0100" or GLYPHS[ord(char)] != chr(OTHER))
}
_H = "[0-9A-Fa-f]"
_TAIL = "%[89ABab][0-9A-Fa-f]"
_ZEROS = "0{0,32}"
_NAME = "[A-Za-z][0-9A-Za-z -]{1,40}"
_SLASH = rf"\\{{1,{_BACKSLASHES}}}"
_ESCAPE = (
    rf"&#{_ZEROS}[0-9]{{1,8}};?|&#[Xx]{_ZEROS}{_H}{{1,7}};?|&[A-Za-z][0-9A-Za-z]{{1,{max(map(len, _NAMES)) - 2}}};"
    rf"|%[0-7]{_H}|%(?:[Cc][2-9A-Fa-f]|[Dd]{_H}){_TAIL}|%[Ee]{_H}(?:{_TAIL}){{2}}|%[Ff][0-4](?:{_TAIL}){{3}}"
    rf"|%[Uu]{_H}{{4}}"
    rf"|{_SLASH}(?:[Uu][Dd][89ABab]{_H}{{2}}{_SLASH}[Uu][Dd][C-Fc-f]{_H}{{2}}|u{_H}{{4}}|U{_H}{{8}}|x{_H}{{2}}"
    rf"|[ux]\{{{_ZEROS}{_H}{{1,6}}\}}|N\{{{_NAME}\}}|[0-3][0-7]{{2}})"
)
_NODE = grammar.parse(_ESCAPE)
_LONGEST = grammar.longest(_NODE) or 0
_search = re.compile(_ESCAPE.encode()).search
_some = matcher(_ESCAPE)
_unfinished = matcher(rf"(?:{grammar.prefixes(_NODE)})\z")


def may_stand_in(view: bytes) -> bool:
    """Whether there is a character with which an escape begins."""
    return 0x25 in view or 0x26 in view or 0x5C in view


def units(view: bytes, written: Callable[[int, int], int], *, final: bool) -> tuple[list[Unit], int]:
    """The escapes of a view from left to right, and how far that is certain: all of it when `final`.

    `written(start, end)` is how many characters of the text stand behind these bytes. What is not certain yet begins
    with the first character of an escape, and is no more than `MAX_WRITTEN` characters.
    """
    size = len(view)
    stop = size if final else _held(view, written)
    found: list[Unit] = []
    at: int = _some(UNANCHORED, view, 0, stop)[0][0]
    while at >= 0 and (match := _search(view, at, stop)) is not None:
        start, at = match.span()
        read = _READ[match[0]]
        if read is None or (at - start > 1 and written(start, at) > MAX_WRITTEN):
            at = start + 1
            continue
        if read[1].isspace():
            if at == size and not final:
                return found, start
            if view[at : at + 1] == b"@":
                continue
        found.append(Unit(start, at, *read))
    return found, stop


def _held(view: bytes, written: Callable[[int, int], int]) -> int:
    """Where the first escape begins that may go on with text to come."""
    size = len(view)
    at: int = max(0, size - _LONGEST)
    while (at := _unfinished(UNANCHORED, view, at, size)[0][0]) < size and written(at, size) >= MAX_WRITTEN:
        at += 1
    return at


class _Readings(dict[bytes, tuple[str, bytes] | None]):
    """What escapes stand for, and its view; None for what stands for itself. Filled as they come."""

    def __missing__(self, escape: bytes) -> tuple[str, bytes] | None:
        char = _char(escape)
        read = None
        if char is not None and (char in "\t\n\r" or not (char < " " or char == "\x7f")):
            glyph = GLYPHS[ord(char)]
            read = char, b"" if glyph == chr(DROPPED) else glyph.encode("latin-1")
        if len(self) < _KNOWN:
            self[escape] = read
        return read


_READ = _Readings()


def _char(escape: bytes) -> str | None:
    if escape[:1] == b"%" and escape[1:2] not in b"Uu":
        try:
            return unquote_to_bytes(escape).decode()
        except UnicodeDecodeError:
            return None
    if escape[:1] == b"&" and escape[1:2] != b"#":
        return _NAMES.get(escape[1:])
    body = escape.lstrip(b"\\")
    if body[:2] == b"N{":
        return _called(body[2:-1].decode())
    code = _code(escape)
    return None if code > sys.maxunicode else chr(code)


def _called(name: str) -> str | None:
    """The character of a name; None for what is none, or several characters."""
    try:
        found = unicodedata.lookup(name)
    except KeyError:
        return None
    return found if len(found) == 1 else None


def _code(escape: bytes) -> int:
    body = escape.lstrip(b"&#%\\").rstrip(b";}")
    if escape[:1] == b"&":
        return int(body[1:], 16) if body[:1] in b"Xx" else int(body)
    if body[:1].isdigit():
        return int(body, 8)
    high, _, low = body[1:].lstrip(b"{").replace(b"\\", b" ").partition(b" ")
    if not low:
        return int(high, 16)
    return 0x10000 + ((int(high, 16) & 0x3FF) << 10) + (int(low.lstrip()[1:], 16) & 0x3FF)
