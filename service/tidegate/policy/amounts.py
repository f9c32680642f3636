"""Amounts of money in the policy document: decimals, read digit by digit into integer micro-units.

A binary fraction is none of most decimals, so no amount passes through one: `document.Written` keeps what was written.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, ValidationInfo, WithJsonSchema

from tidegate.policy.document import Written
from tidegate.policy.durations import MAX_COUNT, REFILL_PATTERN, parse_refill, shown

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


def _capacity(value: object, info: ValidationInfo) -> object:
    """`cost` comes before it in every limit, so it is known here unless it is faulty."""
    return parse_amount(value) if info.data.get("cost") == "money" else value


def _refill(value: object, info: ValidationInfo) -> tuple[int, float]:
    return parse_refill(value, parse_amount if info.data.get("cost") == "money" else None)


def _amount(*numbers: dict[str, Any]) -> WithJsonSchema:
    """One of these numbers, or an amount as text."""
    text = {"type": "string", "pattern": AMOUNT_PATTERN, "examples": ["12.50"]}
    return WithJsonSchema({"anyOf": [*numbers, text]})


Capacity = Annotated[
    int,
    BeforeValidator(_capacity),
    Field(ge=1, le=MAX_COUNT),
    _amount({"type": "integer", "minimum": 1, "maximum": MAX_COUNT}, {"type": "number", "exclusiveMinimum": 0}),
]
Price = Annotated[
    int, BeforeValidator(parse_price), _amount({"type": "number", "minimum": 0, "maximum": MAX_PRICE // MICRO})
]
Refill = Annotated[
    tuple[int, float],
    BeforeValidator(_refill),
    WithJsonSchema({"type": "string", "pattern": REFILL_PATTERN, "examples": ["20/60s"]}),
]
