"""A reservation that is made while the store is out carries what it was charged, so any replica can settle the rest.

Memory is one process's, and Envoy takes a response to whichever it likes. What was reserved is entered in the store by
the replica that reserved it. What the exchange cost beyond that is known where it ends, and nowhere else.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

import orjson
from pydantic import TypeAdapter

from tidegate.admission.arithmetic import MAX_COST
from tidegate.admission.periods import calendar_of
from tidegate.model import Charge, Limit

_PARTS: Final = TypeAdapter(list[tuple[Limit, str, int]])
_SEPARATOR: Final = "."  # in no name of a reservation, nor in base64
_LONGEST: Final = 366 * 86_400.0


def carry(name: str, charges: Iterable[Charge]) -> str:
    """The reservation `name`, with the charges whose cost is only known in the end. What counts requests is not one."""
    parts = [tuple(charge) for charge in charges if _is_settled(charge.limit)]
    if not parts:
        return name
    return f"{name}{_SEPARATOR}{base64.urlsafe_b64encode(orjson.dumps(parts)).decode()}"


def carried(reservation: str) -> tuple[str, list[Charge]]:
    """The name of a reservation and what it carries: nothing, where that is nothing that `carry` writes."""
    name, _, text = reservation.partition(_SEPARATOR)
    try:
        parts = _PARTS.validate_json(base64.urlsafe_b64decode(text), strict=True) if text else []
        charges = [Charge(_one_of(limit), key, cost) for limit, key, cost in parts]
        sound = all(map(_is_sound, charges))
    except (ValueError, KeyError, OSError):  # whoever calls tidegate.v1 can write anything here, of a time zone too
        return name, []
    return name, charges if sound else []


def beyond(charges: Iterable[Charge], costs: Mapping[str, int]) -> list[Charge]:
    """What `costs` (by unit) are more than these charges."""
    more = ((charge, min(costs.get(charge.limit.cost, 0), MAX_COST) - charge.cost) for charge in charges)
    return [charge._replace(cost=cost) for charge, cost in more if cost > 0]


def _is_settled(limit: Limit) -> bool:
    return limit.cost != "requests" and limit.algorithm != "concurrency"


def _is_sound(charge: Charge) -> bool:
    limit = charge.limit
    if limit.resets:
        calendar_of(limit.resets, limit.time_zone)
    return (
        _is_settled(limit)
        and 0 <= charge.cost <= MAX_COST
        and 0 <= limit.capacity <= MAX_COST
        and 0 <= limit.refill <= MAX_COST
        and 0 < limit.period <= _LONGEST
        and (limit.algorithm == "quota") is bool(limit.resets)
        and (limit.algorithm == "token_bucket") is bool(limit.refill)
    )


@lru_cache(maxsize=4096)
def _one_of(limit: Limit) -> Limit:
    """Ledgers find limits by identity: one object for all that are the same."""
    return limit
