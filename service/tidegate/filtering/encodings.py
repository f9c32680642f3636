"""How bytes are written in base64 (RFC 4648, sections 4 and 5) and base16 (section 8), and where that begins in a view.

Four characters of base64 are a group for three bytes, two of base16 are one for a byte. A chain is groups that stand
for ASCII, one after another: at least nine bytes of it, eight in base16, seven in padded base64.
"""

from __future__ import annotations

import binascii
import re
import sys
from collections.abc import Callable
from typing import Final

from tidegate.filtering import grammar
from tidegate.filtering.detector import UNANCHORED, matcher
from tidegate.filtering.escapes import MAX_WRITTEN

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_URL_SAFE = bytes.maketrans(b"-_", b"+/")


class Codec:
    """A way of writing bytes: `chars` characters, a group, for `size` bytes. All but the numbers are patterns.

    `back` is a group read backwards, `few` the shortest chain, `tail` what may stand behind the last group of one, with
    padding, and `part` the beginning of a group or a tail that may go on. `begins` matches where a chain begins, by no
    more than `least` characters, and `chains` matches it there: group 1 are its groups, and 2 the tail.
    """

    def __init__(
        self,
        chars: int,
        size: int,
        group: str,
        back: str,
        few: str,
        tail: str,
        part: str,
        decode: Callable[[bytes], bytes],
    ) -> None:
        self.chars = chars
        self.size = size
        self.few = few
        self.back = re.compile(f"(?:{back})++".encode())
        self.part = re.compile(part.encode())
        self.decode = decode
        self.least = grammar.longest(grammar.parse(few)) or 0
        self.begins = re.compile(f"(?<!{group})(?={few})".encode())
        self.chains = re.compile(f"(?<!{group})(?={few})(?=((?:{group})++)({tail}))".encode())


def _with_bit_clear(bit: int) -> str:
    return "[" + "".join(char for index, char in enumerate(_ALPHABET) if not index >> bit & 1) + "]"


def _decode64(text: bytes) -> bytes:
    missing = -len(text) % 4
    decoded = binascii.a2b_base64(text.translate(_URL_SAFE) + b"A" * missing)
    return decoded[:-missing] if missing else decoded


_FIRST, _SECOND, _THIRD = map(_with_bit_clear, (5, 3, 1))  # of a group of ASCII: the top bits of its three bytes
_ANY = r"[0-9A-Za-z+\x2f_-]"
_GROUP = f"{_FIRST}{_SECOND}{_THIRD}{_ANY}"
_PAIR = "(?:[2-7][0-9A-Fa-f]|0[9ADad])"
_BASE64 = Codec(
    chars=4,
    size=3,
    group=_GROUP,
    back=f"{_ANY}{_THIRD}{_SECOND}{_FIRST}",
    few=f"(?:{_GROUP}){{2}}(?:{_GROUP}|{_FIRST}(?:{_ANY}==|{_SECOND}{_ANY}=))",
    tail=f"(?:{_FIRST}(?:{_SECOND}{_ANY}=?|{_ANY}={{0,2}}))?",
    part=f"(?:{_FIRST}(?:{_ANY}=?|{_SECOND}{_ANY})?)?",
    decode=_decode64,
)
_BASE16 = Codec(
    chars=2,
    size=1,
    group=_PAIR,
    back="(?:[0-9A-Fa-f][2-7]|[9ADad]0)",
    few=f"(?:{_PAIR}){{8}}",
    tail="",
    part="[02-7]?",
    decode=lambda text: bytes.fromhex(text.decode()),
)
CODECS: Final = _BASE64, _BASE16
_FEW = grammar.parse(f"{_BASE64.few}|{_BASE16.few}")
_LEAST = grammar.longest(_FEW) or 0
_CHARS = bytes(grammar.alphabet(_FEW))
_some = matcher(grammar.render(_FEW))
_unfinished = matcher(rf"(?:{grammar.prefixes(_FEW)})\z")
BEGINS: Final = grammar.render(_FEW)
"""A pattern for RE2 of what every text has in which something is encoded."""

NOWHERE: Final = sys.maxsize
"""Where something encoded begins when nothing is to be found."""


def first_chain(view: bytes, clean: int) -> int:
    """Where something encoded begins, or the end of the view. In the first `clean` bytes nothing does."""
    start, size = clean - _LEAST, len(view)
    found: int = _some(UNANCHORED, view, start if start > 0 else 0, size)[0][0]
    return size if found < 0 else found


def half_chain(view: bytes, start: int, end: int) -> int:
    """Where from `start` on what may become the shortest chain begins, or `end` if none begins before."""
    if end <= len(view.rstrip(_CHARS)):
        return end
    size = len(view)
    low = size - _LEAST
    found: int = _unfinished(UNANCHORED, view, low if low > start else start, size)[0][0]
    return found if found < end else end


def context(reach: int) -> int:
    """How many characters may stand for so many bytes of what is encoded, with an escape that is cut before them."""
    return 2 * (reach + MAX_WRITTEN) + _LEAST
