"""The benchmarks run, at a size at which no speed means anything; what does not depend on speed holds even so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.bench import check, exhausted, goals, names, overspend, patterns, peer, safety, scale, through_envoy, tokens
from tests.bench.through_envoy_report import figures as figures_of


def test_nothing_is_overspent_in_a_race_over_two_replicas(tmp_path: Path) -> None:
    figures = overspend.measure(tmp_path, quick=True)
    assert len(figures) == 8
    assert [figure for figure, value in figures.items() if goals.met(figure, value) is not True] == []


def test_keys_and_decisions_cost_the_same_however_many_tenants(tmp_path: Path) -> None:
    figures = scale.measure(tmp_path, quick=True)
    flat = [figure for figure in goals.GOALS if figure.startswith("scale_")]
    assert [figure for figure in flat if goals.met(figure, figures[figure]) is not True] == []


def test_a_key_that_is_over_spares_the_store(tmp_path: Path) -> None:
    assert exhausted.measure(tmp_path, quick=True)["exhausted_store_calls_per_1000"] < 100


def test_the_other_package_decides_on_the_same_redis(tmp_path: Path) -> None:
    assert all(value > 0 for value in peer.measure(tmp_path, quick=True).values())


def test_the_classifier_finds_less_than_one_in_10000_characters_of_technical_text() -> None:
    assert goals.met("safety_found_in_10000_characters", safety.measure(50_000)["safety_found_in_10000_characters"])


def test_patterns_find_what_presidio_finds_and_nothing_else() -> None:
    assert all(value > 0 for value in patterns.measure(quick=True).values())


def test_names_are_found_no_worse_than_by_presidio() -> None:
    figures = names.measure(quick=True)
    assert figures["names_f1_ours"] >= figures["names_f1_theirs"] > 0.5


def test_every_server_of_the_check_bench_does_its_full_work(tmp_path: Path) -> None:
    assert all(value > 0 for value in check.measure(tmp_path, quick=True).values())


def test_every_answer_through_envoy_is_right_and_is_charged_once(tmp_path: Path) -> None:
    with through_envoy.cases(tmp_path, litellm=False) as (model, found):
        through_envoy.run(found, 0.5, connections=8)
        figures = figures_of(found)
        alone, ours = found[0], [case for case in found if case.name.startswith("tidegate")]
        names_of = ["alone", "empty", "tidegate", "empty_one_call", "tidegate_one_call"]
        assert [case.name for case in found] == names_of
        assert min(case.answers for case in found) > 0
        charges = sum(case.answers for case in ours)
        assert through_envoy.charged(ours[0].port, ours[0].key) == charges + 1
        assert through_envoy.asked(model) == sum(case.answers for case in found) + 1
        alone.content = through_envoy.REDACTED
        with pytest.raises(RuntimeError, match=re.escape("wrong: {'content'")):
            alone.take_turn("closed", 0.1)
    assert min(figures["envoy_tidegate_over_empty"], figures["envoy_one_call_over_empty"]) > 0
    assert figures["envoy_tidegate_cpu_us"] > 0


def test_tokens_pass_and_are_cheaper_than_the_library_alone(tmp_path: Path) -> None:
    figures = tokens.measure(tmp_path, quick=True)
    assert all(value > 0 for value in figures.values())
    assert figures["jwt_cold_ratio"] < figures["jwt_jose_ratio"]


@pytest.mark.parametrize(
    ("sign", "value", "good"),
    [
        (">=", 1.0, True),
        (">=", 0.9, False),
        ("<=", 1.1, False),
        ("<", 1.0, False),
        ("==", 1.0, True),
        ("==", 0.9, False),
    ],
)
def test_a_goal_is_met_or_missed(sign: str, value: float, good: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(goals.GOALS, "figure", (sign, 1.0))
    assert goals.met("figure", value) is good
    assert goals.met("another", value) is None
