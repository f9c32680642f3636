"""docs/quality.md is what is measured, and what is measured is good enough."""

from __future__ import annotations

import pytest
from tidegate.filtering.detectors import ENTITIES

from tests import quality_reference
from tests.quality import corpus
from tests.quality.score import measure, patterns


def test_the_page_is_what_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert quality_reference.main([]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("make", [corpus.code, corpus.prose])
def test_less_than_one_false_positive_in_10_000_characters_that_nobody_chose(make: corpus.Maker) -> None:
    assert measure(make(1234, 300), patterns()).false_positives() < 1


def test_more_than_nine_in_ten_values_are_hidden_and_nearly_all_marks_are_right() -> None:
    report = measure(corpus.chat(1234, 1500), patterns()).total(ENTITIES)
    assert (report.found + report.named) / report.labelled > 0.9
    assert report.precision > 0.99
