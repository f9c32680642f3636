"""The frozen values that travel between phases. No behaviour beyond what a value knows of itself, and no I/O."""

from tidegate.model.decision import Allow, Decision, Deny, Finding, Inspection, Reason
from tidegate.model.identity import ANONYMOUS, Identity, Proof, proof_of
from tidegate.model.limits import (
    UNITS,
    Admission,
    Algorithm,
    Charge,
    Hold,
    Limit,
    LimitState,
    Price,
    Unit,
    exceeded,
    window_seconds,
)
from tidegate.model.request import BodyState, Request

__all__ = [
    "ANONYMOUS",
    "UNITS",
    "Admission",
    "Algorithm",
    "Allow",
    "BodyState",
    "Charge",
    "Decision",
    "Deny",
    "Finding",
    "Hold",
    "Identity",
    "Inspection",
    "Limit",
    "LimitState",
    "Price",
    "Proof",
    "Reason",
    "Request",
    "Unit",
    "exceeded",
    "proof_of",
    "window_seconds",
]
