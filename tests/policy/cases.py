"""Golden cases: YAML files of inputs and what is wanted of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent.parent / "cases"


def cases(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))
    return found


def valid(name: str) -> str:
    """A document of policy_valid.yaml."""
    return next(str(case["document"]) for case in cases("policy_valid.yaml") if case["name"] == name)
