"""What a score counts: values that are wholly hidden, and marks that hide nothing."""

from __future__ import annotations

from tidegate.filtering.detectors import ENTITIES

from tests.quality.corpus import Labelled, Value
from tests.quality.score import measure, patterns

TEXT = Labelled("write to bob@example.com or 4111111111111111", (Value(9, 24, "EMAIL"), Value(28, 44, "CREDIT_CARD")))


def test_a_value_that_is_wholly_marked_is_found_and_one_that_is_not_is_missed() -> None:
    report = measure([TEXT], lambda _: [Value(9, 24, "EMAIL"), Value(28, 43, "CREDIT_CARD")])
    assert (report.of("EMAIL").found, report.of("EMAIL").recall) == (1, 1.0)
    assert (report.of("CREDIT_CARD").found, report.of("CREDIT_CARD").recall) == (0, 0.0)
    assert report.missed == [("CREDIT_CARD", TEXT.text)]


def test_a_value_may_be_hidden_by_marks_that_meet_and_under_another_name() -> None:
    report = measure([TEXT], lambda _: [Value(9, 12, "EMAIL"), Value(12, 26, "EMAIL"), Value(28, 44, "US_SSN")])
    assert report.of("EMAIL").found == 1
    assert (report.of("CREDIT_CARD").found, report.of("CREDIT_CARD").named) == (0, 1)
    assert report.of("US_SSN").wrong == 0


def test_a_mark_over_nothing_is_wrong_and_counts_in_10_000_characters() -> None:
    report = measure([TEXT], lambda _: [Value(0, 5, "PHONE"), Value(9, 24, "EMAIL")])
    assert (report.of("PHONE").wrong, report.of("PHONE").precision) == (1, 0.0)
    assert report.of("EMAIL").precision == 1.0
    assert report.false_positives() == 10_000 / len(TEXT.text)
    assert report.false_positives(["EMAIL"]) == 0


def test_kinds_that_are_not_asked_for_count_for_nothing_but_a_mark_upon_them() -> None:
    report = measure([TEXT], lambda _: [Value(9, 24, "PERSON")], frozenset({"PERSON"}))
    assert report.total(ENTITIES).labelled == 0
    assert report.of("PERSON").wrong == 0


def test_patterns_are_scored_by_what_a_policy_would_redact() -> None:
    assert patterns()(TEXT.text) == list(TEXT.values)
