"""Detectors of credentials, by the family of their issuers.

Each module says which of its shapes were compared with published patterns, and which are commonly known and were not.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from tidegate.filtering.detector import Detector
from tidegate.filtering.secrets.cloud import CLOUD
from tidegate.filtering.secrets.code import CODE
from tidegate.filtering.secrets.generic import GENERIC
from tidegate.filtering.secrets.keys import KEYS
from tidegate.filtering.secrets.messaging import MESSAGING
from tidegate.filtering.secrets.models import MODELS
from tidegate.filtering.secrets.payments import PAYMENTS
from tidegate.filtering.secrets.services import SERVICES

FAMILIES: Final[Mapping[str, tuple[Detector, ...]]] = MappingProxyType(
    {
        "KEY_SECRETS": KEYS,
        "CLOUD_SECRETS": CLOUD,
        "CODE_SECRETS": CODE,
        "MODEL_SECRETS": MODELS,
        "MESSAGING_SECRETS": MESSAGING,
        "PAYMENT_SECRETS": PAYMENTS,
        "SERVICE_SECRETS": SERVICES,
        "GENERIC_SECRETS": GENERIC,
    }
)
"""The rows by the name that a policy may use for all of a family. What says least about itself comes last."""

SECRETS: tuple[Detector, ...] = tuple(row for rows in FAMILIES.values() for row in rows)
