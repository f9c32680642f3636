"""The table of everything that can be looked for."""

from __future__ import annotations

from tidegate.filtering.detector import Detector
from tidegate.filtering.personal import PERSONAL
from tidegate.filtering.secrets import SECRETS

DETECTORS: tuple[Detector, ...] = SECRETS + PERSONAL
"""Every row, in order of precedence where two values start at the same place: credentials first."""

ENTITIES: frozenset[str] = frozenset(row.entity for row in DETECTORS)
"""Every entity name that a policy may use."""

NUMERIC: frozenset[str] = frozenset({"CREDIT_CARD"})
"""The entities that are looked for in bare JSON numbers too."""
