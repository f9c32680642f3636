"""What a request costs whose prompts were refused: it was one, of so many bytes, and nothing of a model was used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from tidegate.model import UNITS, Admission, Charge, Deny, Reason

CHARGED: Final = frozenset({Reason.PROMPT_REFUSED, Reason.PROMPT_INJECTION})
"""The refusals that are charged: one because nobody could look is not."""

_ASKED: Final = ("requests", "request_bytes")
UNUSED: Final[Mapping[str, int]] = MappingProxyType({unit: 0 for unit in UNITS if unit not in _ASKED})
"""What a reservation for such a request is settled with."""


def only_asked(admission: Admission, charges: tuple[Charge, ...], deny: Deny) -> tuple[Admission, tuple[Charge, ...]]:
    """What stands of a charge when prompts are refused: that somebody asked. Nothing does where they went unread."""
    kept = _ASKED if deny.reason in CHARGED else ()
    states = [one for one in admission.states if one.limit.cost in kept and one.limit.algorithm != "concurrency"]
    charged = [one for one in charges if one.limit.cost in kept and one.limit.algorithm != "concurrency"]
    return replace(admission, states=tuple(states), reservation=""), tuple(charged)
