"""docs/detectors.md is what the table says."""

from __future__ import annotations

from pathlib import Path

import pytest
from tidegate.filtering.detectors import DETECTORS, ENTITIES, GROUPS
from tidegate.filtering.safety.categories import CATEGORIES

from tests import detector_reference
from tests.detector_reference import milliseconds


def test_the_page_is_what_the_table_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert detector_reference.main([]) == 0, capsys.readouterr().err


def test_every_detector_publishes_its_check_and_its_hold_back() -> None:
    page = detector_reference.reference()
    for row in DETECTORS:
        line = next(line for line in page.splitlines() if line.startswith(f"| `{row.entity}` | {row.name} |"))
        assert line.endswith(f" | {row.check} | {row.cap:,} | {milliseconds(row.cap):,} |")
        assert row.check
    assert all(f"| `{name}` |" in page for name in GROUPS)


def test_a_group_names_entities_that_exist_and_is_none() -> None:
    assert all(members <= ENTITIES | set(CATEGORIES) for members in GROUPS.values())
    assert not GROUPS.keys() & (ENTITIES | set(CATEGORIES))


def test_a_page_that_is_old_is_told_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(detector_reference, "FILE", tmp_path / "detectors.md")
    assert detector_reference.main([]) == 1
    assert "python -m tests.detector_reference --write" in capsys.readouterr().err
    assert detector_reference.main(["--write"]) == 0
    assert (tmp_path / "detectors.md").read_text(encoding="utf-8") == detector_reference.reference()
