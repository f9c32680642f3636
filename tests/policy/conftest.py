from __future__ import annotations

from pathlib import Path

import pytest

from tests.policy.watching import document


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "policy.yaml").write_text(document(1))
    return tmp_path / "policy.yaml"
