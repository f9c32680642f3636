"""The table of everything that can be looked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from tidegate.filtering import phones
from tidegate.filtering.detector import Detector
from tidegate.filtering.national import NATIONAL
from tidegate.filtering.personal import PERSONAL
from tidegate.filtering.places import PLACES
from tidegate.filtering.safety import categories as safety
from tidegate.filtering.secrets import FAMILIES, SECRETS

_GROUPS = ("sign", "near", "", "spoken", "e-mail")

DETECTORS: tuple[Detector, ...] = tuple(
    sorted(SECRETS + NATIONAL + PLACES + PERSONAL, key=lambda row: _GROUPS.index(row.group))
)
"""Every row, in order of precedence where two values start at the same place: what says itself what it is comes first,
what a word near it says next."""

ENTITIES: frozenset[str] = frozenset(row.entity for row in DETECTORS)
"""Every entity that a pattern finds. Those of `GROUPS` that are not here are found by spotters."""

GROUPS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "SECRETS": frozenset(row.entity for row in SECRETS),
        **{name: frozenset(row.entity for row in rows) for name, rows in FAMILIES.items()},
        "NATIONAL_IDS": frozenset(row.entity for row in NATIONAL),
        "PERSONAL_DATA": frozenset(row.entity for row in NATIONAL + PLACES + PERSONAL),
        safety.GROUP: frozenset(safety.CATEGORIES),
    }
)
"""Names that a policy may use for several entities."""


def rows_of(entities: frozenset[str], regions: frozenset[str] = frozenset()) -> tuple[Detector, ...]:
    """The rows that find these entities, in order, with those for the telephone numbers of the regions."""
    more = phones.rows(regions) if phones.ENTITY in entities else ()
    return (*(row for row in DETECTORS if row.entity in entities), *more)


def expand(names: Iterable[str]) -> frozenset[str]:
    """The entities of a list of entities and groups."""
    return frozenset(entity for name in names for entity in GROUPS.get(name, {name}))


NUMERIC: frozenset[str] = frozenset({"CREDIT_CARD"})
"""The entities that are looked for in bare JSON numbers too."""
