"""The second look at numbers that an authority gave out: check digits and ranges. The span of the number, or None.

Sources: python-stdnum's modules, each of which names its own; MAS and ICA for Singapore's NRIC; ISO 9362 (BIC) and
ISO 3166 (its country), BIP 13 and BIP 173 and BIP 350 (Bitcoin addresses).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from functools import lru_cache
from hashlib import sha256
from importlib import import_module
from itertools import pairwise

import phonenumbers

from tidegate.filtering.detector import Accept

Span = tuple[int, int]

_BASE58 = {char: value for value, char in enumerate("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz")}
_BECH32 = {char: value for value, char in enumerate("qpzry9x8gf2tvdw0s3jn54khce6mua7l")}
_BECH32_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_NRIC = {
    "S": ("JZIHGFEDCBA", 0), "T": ("JZIHGFEDCBA", 4), "F": ("XWUTRQPNMLK", 0), "G": ("XWUTRQPNMLK", 4),
    "M": ("XWUTRQPNJLK", 3),
}  # fmt: skip
_NUMBERS = re.compile(r"\d+")
_ORDINAL = re.compile(r"(?i)st|nd|rd|th")
_MONTHS = re.compile(r"(?i)[A-Za-z\xc0]{3,}")


def stdnum(module: str, group: int = 0) -> Accept:
    """A number that python-stdnum's module of that name holds valid. `group` is the pattern's group that holds it."""
    is_valid: Callable[[str], bool] = import_module(f"stdnum.{module}").is_valid

    @lru_cache(maxsize=1024)
    def valid(text: bytes) -> bool:
        return is_valid(text.translate(None, b" ").decode("latin-1"))

    def accept(match: re.Match[bytes]) -> Span | None:
        return match.span(group) if valid(match[group]) else None

    return accept


def nric(match: re.Match[bytes]) -> Span | None:
    """A Singaporean NRIC or FIN: the check letter of its series."""
    text = match[0].decode()
    letters, offset = _NRIC[text[0]]
    total = offset + sum(int(digit) * weight for digit, weight in zip(text[1:8], (2, 7, 6, 5, 4, 3, 2), strict=True))
    return match.span() if letters[total % 11] == text[8] else None


def bic(match: re.Match[bytes]) -> Span | None:
    """A BIC whose fifth and sixth letters are a country."""
    return match.span() if match[0][4:6].decode().upper() in phonenumbers.SUPPORTED_REGIONS else None


def base58check(match: re.Match[bytes]) -> Span | None:
    """A Bitcoin address whose four check bytes are right (version 0x00 or 0x05)."""
    value = 0
    for char in match[0].decode():
        value = value * 58 + _BASE58[char]
    if value >> 200:
        return None
    raw = value.to_bytes(25, "big")
    if raw[0] not in (0x00, 0x05):
        return None
    return match.span() if sha256(sha256(raw[:21]).digest()).digest()[:4] == raw[21:] else None


def bech32(match: re.Match[bytes]) -> Span | None:
    """A Bitcoin address of BIP 173 or BIP 350."""
    text = match[0].decode().lower()
    checksum = 1
    for value in (3, 3, 0, 2, 3, *(_BECH32[char] for char in text[3:])):  # "bc" expanded
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(_BECH32_GENERATOR):
            if top >> bit & 1:
                checksum ^= generator
    return match.span() if checksum in (1, 0x2BC830A3) else None


def birthday(match: re.Match[bytes]) -> Span | None:
    """A date between 1900 and today's century that the calendar has, in any order of day and month."""
    text = match[0].decode("latin-1")
    numbers = [int(number) for number in _NUMBERS.findall(text)]
    if _MONTHS.search(_ORDINAL.sub("", text)):
        day, year = (numbers[0], numbers[1]) if len(numbers) == 2 else (0, 0)
        return match.span() if 1 <= day <= 31 and _is_year(year) else None
    first, second, third = numbers
    orders = [(first, second, third)] if first > 31 else [(third, second, first), (third, first, second)]
    return match.span() if any(_is_date(*order) for order in orders) else None


def _is_year(year: int) -> bool:
    return year < 100 or 1900 <= year < 2100


def _is_date(year: int, month: int, day: int) -> bool:
    if not _is_year(year):
        return False
    try:
        date(year if year > 99 else 2000 + year, month, day)
    except ValueError:
        return False
    return True


def position_pair(match: re.Match[bytes]) -> Span | None:
    """A latitude up to 90 degrees and a longitude up to 180."""
    degrees = [float(part) for part in re.findall(rb"[0-9]+\.[0-9]+", match[0])]
    return match.span() if degrees[0] <= 90 and degrees[1] <= 180 else None


def mac(match: re.Match[bytes]) -> Span | None:
    """A hardware address that is neither all zeros nor a run of pairs that count up, such as a time."""
    pairs = re.findall(rb"[0-9A-Fa-f]{2}", match[0])
    values = [int(pair, 16) for pair in pairs]
    if len(set(values)) == 1 or all(after - before == 1 for before, after in pairwise(values)):
        return None
    return match.span()


def ethereum(match: re.Match[bytes]) -> Span | None:
    """Twenty bytes of which not all are alike. EIP-55's checksum is not asked: mistyped, it is still somebody's."""
    return match.span() if len(set(match[0][2:].lower())) > 4 else None
