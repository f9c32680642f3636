"""Names in texts that have none."""

from __future__ import annotations

import pytest

from tests.names.made import SEED, found
from tests.quality import corpus


@pytest.mark.parametrize("make", [corpus.code, corpus.prose])
def test_less_than_one_mark_in_10_000_characters_of_code_and_of_technical_prose(make: corpus.Maker) -> None:
    report = found(make, SEED, 60)
    assert report.characters > 90_000
    assert report.false_positives() < 1, report.wrong
