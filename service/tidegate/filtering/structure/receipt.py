"""What the receipt of a response says of its structure."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from tidegate.filtering.formats.coverage import Coverage
from tidegate.filtering.structure.judge import Judge


def judged(receipt: Coverage, judge: Judge, *, failure: str = "") -> Coverage:
    """A receipt with what was said of the structure."""
    findings = dict(Counter(receipt.findings) + judge.findings)
    verdict = judge.verdict or "unchecked"
    return replace(receipt, findings=findings, structure=verdict, failure=receipt.failure or failure)
