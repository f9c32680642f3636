"""A value never hides one of a stricter action that begins inside of it."""

from __future__ import annotations

import base64

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tidegate.filtering.detectors import DETECTORS
from tidegate.filtering.rewriter import TextRewriter, rewrite
from tidegate.filtering.ruleset import Action, FilterPlan

from tests.filtering.corpus import LONG, SCOPES, cut_texts, meaning, run
from tests.filtering.disguises import WAYS, encoded, escaped

AWS = "AKIAIOSFODNN7EXAMPLE"
URL = f"postgres://admin:{AWS}@db.example.com/"
PEM = "-----BEGIN PRIVATE KEY-----\n" + ("MIIEow\u00ad" * 9 + "\n") * 180
ROWS = [row for row in DETECTORS if row.positives[0].isascii()]


def _plan(**acts: str) -> FilterPlan:
    return FilterPlan({entity: Action[act.upper()] for entity, act in acts.items()}, keys=SCOPES)


@pytest.mark.parametrize(
    ("plan", "text", "want", "blocked"),
    [
        (_plan(PRIVATE_KEY="mask", EMAIL="redact"), f"{PEM}a@example.com", "[PRIVATE_KEY][EMAIL]", False),
        (_plan(URL_CREDENTIALS="mask", AWS_KEY="block"), f"see {URL}", "see postgres://", True),
        (_plan(URL_CREDENTIALS="mask", AWS_KEY="redact"), URL, "postgres://[AWS_KEY]@db.example.com/", False),
        (_plan(URL_CREDENTIALS="redact", AWS_KEY="mask"), URL, "postgres://[URL_CREDENTIALS]@db.example.com/", False),
        (_plan(URL_CREDENTIALS="mask", AWS_KEY="mask"), URL, f"postgres://*****:{'*' * 20}@db.example.com/", False),
        (_plan(URL_CREDENTIALS="mask", EMAIL="drop"), URL, "postgres:///", False),
        (_plan(URL_CREDENTIALS="mask", EMAIL="redact", AWS_KEY="block"), URL, "postgres://", True),
        (_plan(EMAIL="mask", US_SSN="block"), "123-45-6789@example.com", "", True),
        (_plan(GENERIC_SECRET="mask", AWS_KEY="block"), f'password="{AWS}"', 'password="', True),
        (_plan(PRIVATE_KEY="mask", AWS_KEY="block"), f"{PEM}{AWS}\n", "[PRIVATE_KEY]", True),
        (_plan(PRIVATE_KEY="mask", AWS_KEY="drop"), f"{PEM}{AWS}\n{PEM[30:]}!", "[PRIVATE_KEY]!", False),
        (_plan(PRIVATE_KEY="mask", AWS_KEY="redact"), f"{PEM}{AWS}\nA!", "[PRIVATE_KEY][AWS_KEY]!", False),
    ],
)
def test_what_overlaps_is_one_value_under_the_strictest_action(
    plan: FilterPlan, text: str, want: str, blocked: bool
) -> None:
    assert meaning(plan, text) == want
    for chunks in ([text], list(text), [text[at : at + 7] for at in range(0, len(text), 7)]):
        out, findings, finding = run(plan, chunks)
        assert (out, finding is not None) == (want, blocked)
        assert sum(findings.values()) >= 1
        assert finding is None or findings[finding.entity, "block"] == 1


@pytest.mark.parametrize("way", sorted(WAYS))
def test_no_way_of_writing_hides_it_either(way: str) -> None:
    plan = _plan(URL_CREDENTIALS="mask", AWS_KEY="block")
    for text in (f"postgres://admin:{escaped(AWS, [way], 2)}@db.example.com/", escaped(URL, [way], 1)):
        for chunks in ([text], list(text)):
            assert run(plan, chunks)[2] is not None, text


def test_nor_does_an_encoding() -> None:
    plan = _plan(URL_CREDENTIALS="mask", AWS_KEY="block")
    for text in (
        f"postgres://admin:x-{encoded(AWS, 'base64')}@db.example.com/",
        base64.b64encode(URL.encode()).decode(),
    ):
        for chunks in ([text], list(text)):
            assert run(plan, chunks)[2] is not None, text


@st.composite
def _nested(draw: st.DrawFn) -> tuple[FilterPlan, str]:
    """Values put into one another, and a plan of theirs with an action each."""
    rows = draw(st.lists(st.sampled_from(ROWS), min_size=2, max_size=4))
    text = draw(st.sampled_from(["", "", LONG[0][:9000], LONG[1]]))
    for row in rows:
        at = draw(st.integers(0, len(text)))
        text = (
            text[:at]
            + draw(st.sampled_from(["", "", " ", "_", "\n"]))
            + draw(st.sampled_from(row.positives))
            + text[at:]
        )
    acts = draw(st.lists(st.sampled_from(Action), min_size=6, max_size=6))
    entities = [*(row.entity for row in rows), "PRIVATE_KEY", "GITHUB_TOKEN"]
    return FilterPlan(dict(zip(entities, acts, strict=False)), keys=SCOPES), text


@given(nested=_nested(), size=st.sampled_from([1, 3, 16, 100]))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_values_in_one_another_mean_the_same_however_they_are_cut(nested: tuple[FilterPlan, str], size: int) -> None:
    plan, text = nested
    whole = run(plan, [text])
    assert run(plan, [text[at : at + size] for at in range(0, len(text), size)]) == whole
    assert whole[0] == meaning(plan, text)


@given(cut=cut_texts(), acts=st.lists(st.sampled_from(Action), min_size=5, max_size=5), data=st.data())
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_plan_means_the_same_however_a_text_is_cut(
    cut: tuple[str, list[str]], acts: list[Action], data: st.DataObject
) -> None:
    text, chunks = cut
    entities = data.draw(st.lists(st.sampled_from([row.entity for row in DETECTORS]), min_size=5, max_size=5))
    plan = FilterPlan(dict(zip(entities, acts, strict=True)), keys=SCOPES)
    whole = run(plan, [text])
    assert run(plan, chunks) == whole
    assert whole[0] == meaning(plan, text)


def test_what_stricter_detectors_wait_for_is_bounded() -> None:
    plan = _plan(URL_CREDENTIALS="mask", IBAN="block", EMAIL="redact")
    rewriter = TextRewriter(plan)
    most = 0
    for char in f"see {URL} and more: " * 3:
        rewriter.feed(char)
        most = max(most, rewriter.held)
    assert most < 2 * max(row.cap for row in DETECTORS if row.entity in plan.actions)
    assert rewrite(plan, f"{URL} " * 3).count("[EMAIL]") == 3
