"""What the model's side learns of a request that was looked into, as headers."""

from __future__ import annotations

from collections import Counter
from typing import Final

from tidegate.model import Inspection

FINDINGS_HEADER: Final = "x-tidegate-prompt-findings"
"""Kinds and counts of what the prompts hold: `EMAIL:2, PHONE:1`."""
INJECTION_HEADER: Final = "x-tidegate-prompt-injection"
"""The highest of the scores of injection, 0.000 to 1.000."""


def told_upstream(inspection: Inspection | None) -> tuple[tuple[str, str], ...]:
    """What the model's side learns of the prompts: kinds and counts, and the highest score."""
    told: list[tuple[str, str]] = []
    if inspection is not None and inspection.findings:
        counts = Counter[str]()
        for (entity, _), count in inspection.findings.items():
            counts[entity] += count
        told.append((FINDINGS_HEADER, ", ".join(f"{entity}:{count}" for entity, count in sorted(counts.items()))))
    if inspection is not None and inspection.scores:
        told.append((INJECTION_HEADER, f"{max(inspection.scores.values()):.3f}"))
    return tuple(told)
