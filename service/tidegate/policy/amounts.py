"""Amounts of money in the policy document: decimals, read digit by digit into integer micro-units.

A binary fraction is none of most decimals, so no amount passes through one: `document.Written` keeps what was written.
"""

from __future__ import annotations

import re
from typing import Final

from tidegate.policy.document import Written
from tidegate.policy.durations import MAX_COUNT, shown

MICRO: Final = 1_000_000
"""Micro-units in one unit of a currency."""
MAX_PRICE: Final = MICRO * MICRO
"""The highest price: a million of the currency, for a million tokens or for one request. Micro-units."""

AMOUNT_PATTERN: Final = r"^[0-9]{1,13}(\.[0-9]{1,6})?$"
_AMOUNT = re.compile(r"([0-9]{1,13})(?:\.([0-9]{1,6}))?")


def parse_amount(value: object) -> int:
    """Micro-units in "50.00", 50 or 0.5: above 0, and at most 1099511.627776 (2^40). ValueError for anything else."""
    return _bounded(_micro(value), 1, MAX_COUNT)


def parse_price(value: object) -> int:
    """Micro-units in a price: from 0, which somebody has to write to give a model away, to a million."""
    return _bounded(_micro(value), 0, MAX_PRICE)


def _micro(value: object) -> int:
    if isinstance(value, Written):
        text = value.text
    else:
        text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    found = _AMOUNT.fullmatch(text)
    if found is None:
        raise ValueError(f'must be an amount such as "12.50", with at most six decimals, not {shown(value)}')
    return int(found[1]) * MICRO + int((found[2] or "").ljust(6, "0"))


def _bounded(micro: int, low: int, high: int) -> int:
    if not low <= micro <= high:
        raise ValueError(f"must be from {amount_text(low)} to {amount_text(high)}, not {amount_text(micro)}")
    return micro


def amount_text(micro: int) -> str:
    """Micro-units as they are written: "0.5", "50"."""
    whole, part = divmod(micro, MICRO)
    return f"{whole}.{part:06}".rstrip("0").rstrip(".")
