"""Ways of writing a text so that a value in it is not seen at once, and is read all the same."""

from __future__ import annotations

import base64
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from html.entities import html5
from urllib.parse import quote

_NAMES = {char: name for name, char in sorted(html5.items(), reverse=True) if name[-1] == ";"}


def _percent(char: str) -> str:
    return quote(char, safe="") if not char.isalnum() or not char.isascii() else f"%{ord(char):02x}"


def _octal(char: str) -> str:
    return f"\\{ord(char):03o}" if ord(char) < 256 else _unicode(char)


def _unicode(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def _named(char: str) -> str:
    return f"&{_NAMES[char]}" if char in _NAMES else f"&#{ord(char)};"


WAYS: Mapping[str, Callable[[str], str]] = {
    "decimal reference": lambda char: f"&#{ord(char)};",
    "padded reference": lambda char: f"&#{ord(char):07d};",
    "hexadecimal reference": lambda char: f"&#x{ord(char):x};",
    "capital reference": lambda char: f"&#X{ord(char):04X};",
    "named reference": _named,
    "reference in a reference": lambda char: f"&amp;#{ord(char)};",
    "percent": _percent,
    "capital percent": lambda char: _percent(char).upper(),
    "percent twice": lambda char: _percent(char).replace("%", "%25"),
    "percent three times": lambda char: _percent(char).replace("%", "%2525"),
    "percent of a reference": lambda char: "".join(map(_percent, f"&#{ord(char)};")),
    "escape()": lambda char: f"%u{ord(char):04x}" if ord(char) < 0x10000 else _percent(char),
    "hexadecimal": lambda char: f"\\x{ord(char):02x}" if ord(char) < 256 else _unicode(char),
    "unicode": _unicode,
    "capital unicode": lambda char: f"\\U{ord(char):08x}",
    "code point": lambda char: f"\\u{{{ord(char):x}}}",
    "long reference": lambda char: f"&#x{ord(char):030x};",
    "long code point": lambda char: f"\\u{{{ord(char):020x}}}",
    "character name": lambda char: f"\\N{{{unicodedata.name(char)}}}" if unicodedata.name(char, "") else _unicode(char),
    "octal": _octal,
    "unicode twice": lambda char: _unicode(char).replace("\\", "\\\\"),
    "unicode three times": lambda char: _unicode(char).replace("\\", "\\\\\\\\"),
    "escaped backslash": lambda char: _unicode(char).replace("\\", "\\x5c"),
}
"""Kinds of escapes by what they are called, and a character written as one."""


SHORTEST = 9
"""The bytes of the shortest text that is found in every one of `CODES`."""

CODES: Mapping[str, Callable[[bytes], str]] = {
    "base64": lambda data: base64.b64encode(data).decode(),
    "base64 without padding": lambda data: base64.b64encode(data).decode().rstrip("="),
    "base64 for URLs": lambda data: base64.urlsafe_b64encode(data).decode(),
    "base64 for URLs without padding": lambda data: base64.urlsafe_b64encode(data).decode().rstrip("="),
    "base64 in a data URL": lambda data: f"data:text/plain;base64,{base64.b64encode(data).decode()}",
    "base64 in percent-encoding": lambda data: quote(base64.b64encode(data).decode(), safe=""),
    "base16": bytes.hex,
    "capital base16": lambda data: data.hex().upper(),
}
"""Ways of writing a whole text, by what they are called."""


def encoded(text: str, kind: str) -> str:
    """The text in one of these ways."""
    return CODES[kind](text.encode())


def escaped(text: str, kinds: Sequence[str], step: int) -> str:
    """Every character of which the number is a multiple of `step`, in these ways by turns."""
    return "".join(
        WAYS[kinds[at // step % len(kinds)]](char) if at % step == 0 else char for at, char in enumerate(text)
    )
