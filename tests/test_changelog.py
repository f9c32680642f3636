"""CHANGELOG.md: each visible change once."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

PAGE = Path(__file__).parents[1] / "CHANGELOG.md"


def test_no_change_is_told_twice() -> None:
    _, *entries = re.split(r"^- ", PAGE.read_text(), flags=re.MULTILINE)
    assert len(entries) > 100
    assert [entry for entry, times in Counter(" ".join(e.split()) for e in entries).items() if times > 1] == []
