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


def unsigned_part(signs: tuple[str, ...]) -> Accept:
    """What `password_part` accepts, but for what begins with one of these patterns: another row says more of it."""
    signed = re.compile("|".join(signs).encode("latin-1"))

    def accept(match: re.Match[bytes]) -> Span | None:
        return None if signed.match(match[1]) else password_part(match)

    return accept


def userinfo(match: re.Match[bytes]) -> Span | None:
    """User and password before a host, when the password is no placeholder."""
    password = match[1].partition(b":")[2]
    return None if _STAND_IN.match(password) else match.span(1)
