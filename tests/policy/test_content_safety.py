"""Content safety from the policy to its spotters: nothing is loaded that no ruleset names, and no key is shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from tidegate.filtering.safety import model
from tidegate.filtering.safety.categories import CATEGORIES
from tidegate.filtering.safety.classifier import Classifier
from tidegate.filtering.safety.moderator import Moderator
from tidegate.policy import parse_policy
from tidegate.policy.load import examine

KEY = "made-up-key-of-nobody"
RULES = "rulesets: {safe: [{detect: [CONTENT_SAFETY], act: redact}]}"
AZURE = 'azure: {key_file: key, endpoint: "https://made-up.example.com", severities: {HATE: 2}}'


def document(section: str = "", rules: str = RULES) -> str:
    return "\n".join(["version: 1", f"content_safety: {{{section}}}" if section else "", rules])


def test_a_policy_that_names_no_category_loads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "parse", None)
    model.shipped.cache_clear()
    assert parse_policy(document(rules="rulesets: {pii: [{detect: [EMAIL], act: redact}]}")).spotters == ()
    assert parse_policy(document("classifier: {}", rules="")).spotters == ()


def test_without_a_section_the_classifier_judges() -> None:
    policy = parse_policy(document())
    assert any(isinstance(spotter, Classifier) for spotter in policy.spotters)
    assert policy.rulesets["safe"].rules[0].entities == set(CATEGORIES)


def test_a_threshold_reaches_the_classifier_and_the_version() -> None:
    strict, lax = (
        parse_policy(document(f"classifier: {{thresholds: {{HATE: {least}}}}}")) for least in ("0.99", "0.01")
    )
    assert strict.version != lax.version
    judged = [policy.spotters[0].judge(["The Zorbs are a problem."])[0] for policy in (strict, lax)]  # type: ignore[attr-defined]
    assert ["HATE" in verdict.categories for verdict in judged] == [False, True]


def test_a_service_alone_judges_what_it_has_and_the_group_means_that(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY + "\n")
    outcome = examine(document(AZURE), file="p", base=tmp_path)
    policy = outcome.unwrap()
    (spotter,) = policy.spotters
    assert isinstance(spotter, Moderator)
    assert policy.rulesets["safe"].rules[0].entities == spotter.entities == {"HATE", "VIOLENCE", "SEXUAL", "SELF_HARM"}
    assert outcome.files == (tmp_path / "key",)
    assert KEY not in repr(policy)


def test_several_judge_side_by_side_and_a_key_is_no_part_of_the_version(tmp_path: Path) -> None:
    section = f"{AZURE}, classifier: {{}}, openai: {{key_file: key}}"
    versions = set()
    for key in (KEY, KEY[::-1]):
        (tmp_path / "key").write_text(key)
        policy = examine(document(section), file="p", base=tmp_path).unwrap()
        versions.add(policy.version)
        assert [type(spotter).__name__ for spotter in policy.spotters] == ["Classifier", "Moderator", "Moderator"]
    assert len(versions) == 1


def test_a_key_that_no_header_can_carry_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("two\nlines")
    (problem,) = examine(document(AZURE), file="p", base=tmp_path).problems
    assert problem.key == "content_safety.azure.key_file"
    assert "visible ASCII" in problem.message
    assert "lines" not in problem.message


def test_a_request_that_is_checked_for_a_category_has_somebody_judge_it() -> None:
    checked = """
tiers: {free: {}}
tenants: {acme: {}}
endpoints:
  chat:
    owner: acme
    match: {hosts: "*", path: /v1/chat/completions, methods: [POST]}
    request: {rules: [{detect: [HATE, CONTENT_SAFETY], act: block}]}
"""
    policy = parse_policy(document(rules=checked))
    assert "Classifier" in [type(spotter).__name__ for spotter in policy.spotters_of("chat")]
    (problem,) = examine(
        document('azure: {key_env: PATH, endpoint: "https://made-up.example.com"}', checked.replace("HATE", "BIAS")),
        file="p",
        base=Path(),
    ).problems
    assert problem.key == "endpoints.chat.request.rules[0].detect[0]"
