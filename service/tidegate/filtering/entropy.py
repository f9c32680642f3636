"""The second look at what may be a secret: whether it looks random, and is no placeholder. The span of it, or None.

Entropy is Shannon's, in bits a character, over the first `_LOOKED_AT` of them: enough to tell a key from a word.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache
from math import log2

from tidegate.filtering.detector import Accept

Span = tuple[int, int]

_LOOKED_AT = 48
_DIGIT = re.compile(rb"[0-9]")
_LETTER = re.compile(rb"[A-Za-z]")
_WORDS = re.compile(rb"[A-Za-z]+(?:[_.:-]+[A-Za-z]+)*(?:[_.:-]*[0-9]{1,4}(?:[_.:-]+[A-Za-z]+)*)?")
_PLACEHOLDER = re.compile(
    rb"(?i)example|your|change|dummy|placeholder|sample|insert|replace|secret_?here|xxxx|todo|undefined|redacted|1234567"
)
_SIGN = re.compile(rb"[^0-9A-Za-z]")
_UPPER = re.compile(rb"[A-Z]")
_LOWER = re.compile(rb"[a-z]")
_CHOSEN = 8
_PATH = re.compile(rb"[a-z][0-9a-z.-]*(?:/[0-9a-z.-]+)+")
_PUBLIC = re.compile(rb"(?i)digest|hash|commit|checksum|\bsha|uuid|\bids?\b|version|fingerprint")
_HEX = re.compile(rb"[0-9a-f]+|[0-9A-F]+")
_PAIR = re.compile(rb"[A-Za-z_]+=(?=.)")
_TOLD = re.compile(rb"(?:[:|]\*{0,2}|\b(?:is|was|be|reads|says|to))\s{1,3}[^\s0-9A-Za-z]{0,4}\Z")
_NO_PASSWORD = re.compile(
    rb"(?i)passw|secret|token|base(?:32|64)|sha-?\d|md5|utf-?\d|pbkdf|argon|b?crypt|rot13|x\.?509|[2m]fa\b|oauth|://|@[0-9a-z-]+\."
)
_FIELD = re.compile(rb"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+|[A-Za-z]+(?:_[0-9A-Za-z]+)+")
_STAND_IN = re.compile(rb"[$%{<*\[]|(?i:password|passwd|pass|pwd|secret|token|user(?:name)?|x+|\.+|-+|_+)?\Z")


def entropy(text: bytes) -> float:
    """Bits a character."""
    size = len(text)
    return -sum(count / size * log2(count / size) for count in Counter(text).values())


@lru_cache(maxsize=4096)
def looks_random(text: bytes, bits: float) -> bool:
    """Whether the characters have at least this entropy each."""
    return len(set(text)) >= 2**bits and entropy(text) >= bits


def random(skip: int, bits: float) -> Accept:
    """All that matched, when what stands behind its first `skip` bytes looks random."""

    def accept(match: re.Match[bytes]) -> Span | None:
        start, end = match.span()
        text = match.string[start + skip : min(end, start + skip + _LOOKED_AT)]
        return (start, end) if looks_random(text, bits) else None

    return accept


def random_part(bits: float) -> Accept:
    """The pattern's group, when it looks random."""

    def accept(match: re.Match[bytes]) -> Span | None:
        return match.span(1) if looks_random(match[1][:_LOOKED_AT], bits) else None

    return accept


def password_part(match: re.Match[bytes]) -> Span | None:
    """The pattern's group, when it has letters and digits, looks random, and is neither words nor a placeholder."""
    text = match[1]
    if not (_DIGIT.search(text) and _LETTER.search(text)) or _PLACEHOLDER.search(text) or _WORDS.fullmatch(text):
        return None
    return match.span(1) if looks_random(text[:_LOOKED_AT], 3.0) else None


def said_part(match: re.Match[bytes]) -> Span | None:
    """What `password_part` accepts where people talk: no path, no field and its value, and nothing that is said to be
    public. Digits of base 16 are a digest or a commit where nothing but a space stands before them.
    """
    text, said = match[1], match[0][: match.start(1) - match.start()]
    if _PATH.fullmatch(text) or _PAIR.match(text) or _PUBLIC.search(said):
        return None
    if _HEX.fullmatch(text) and not _TOLD.search(said):
        return None
    return password_part(match)


def chosen_part(match: re.Match[bytes]) -> Span | None:
    """The pattern's group, when a person could have chosen it where letters, digits and more are asked for.

    A point behind it ends the sentence. What is said of passwords without telling one has no digits, or is the name of
    an algorithm, a field or a placeholder.
    """
    text = match[1].rstrip(b".:?")
    said = match[0][: match.start(1) - match.start()]
    digits = len(_DIGIT.findall(text))
    mixed = _SIGN.search(text) or (_UPPER.search(text) and _LOWER.search(text))
    if len(text) < _CHOSEN or not digits or not _LETTER.search(text) or not mixed:
        return None
    if (
        _PLACEHOLDER.search(text)
        or _NO_PASSWORD.search(text)
        or _FIELD.fullmatch(text.rstrip(b"!?*_"))
        or _PUBLIC.search(said)
    ):
        return None
    if _WORDS.fullmatch(text) and (digits < 2 or not _TOLD.search(said)):
        return None
    return match.start(1), match.start(1) + len(text)


def userinfo(match: re.Match[bytes]) -> Span | None:
    """User and password before a host, when the password is no placeholder."""
    password = match[1].partition(b":")[2]
    return None if _STAND_IN.match(password) else match.span(1)
