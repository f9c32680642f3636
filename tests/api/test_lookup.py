"""What a caller names, found in the policy; and plans that are found again."""

from __future__ import annotations

import pytest
from tidegate.api.faults import InvalidCall
from tidegate.api.lookup import Plans, attributes_of, limits_of, rulesets_of
from tidegate.filtering.selection import selection_of
from tidegate.policy import Policy, parse_policy

from tests.client.world import POLICY


@pytest.fixture(scope="module")
def policy() -> Policy:
    return parse_policy(POLICY)


def test_the_floor_is_part_of_every_selection(policy: Policy) -> None:
    assert rulesets_of(policy, rulesets=["pii", "pii"], endpoint="", tier="") == ("secrets", "pii")
    assert rulesets_of(policy, rulesets=["secrets"], endpoint="", tier="") == ("secrets",)
    assert rulesets_of(policy, rulesets=[], endpoint="chat", tier="premium") == ("secrets", "pii", "cards")
    assert rulesets_of(policy, rulesets=[], endpoint="score", tier="free") == ("secrets",)


def test_nothing_named_is_not_no_filter(policy: Policy) -> None:
    with pytest.raises(InvalidCall):
        rulesets_of(policy, rulesets=[], endpoint="", tier="")
    with pytest.raises(InvalidCall):
        rulesets_of(policy, rulesets=[], endpoint="", tier="free")


def test_limits_come_from_every_scope(policy: Policy) -> None:
    attributes = {"tenant": "acme", "tier": "premium", "model": ""}
    assert [limit.name for limit in limits_of(policy, attributes, "score")] == ["tpm", "burst"]
    with pytest.raises(InvalidCall, match="counts by 'model'"):
        limits_of(policy, {"tenant": "acme", "tier": "premium"}, "score")


def test_an_endpoint_says_which_scopes_it_asks_for(policy: Policy) -> None:
    asking = parse_policy(
        POLICY.replace("path: /api/score, methods: [POST]}", "path: /api/score, methods: [POST]}\n    scopes: [b, a]")
    )
    said = {"tenant": "acme", "client_id": "app"}
    assert attributes_of(asking, said, "score") == {**said, "endpoint": "score", "scope": "a b"}
    assert attributes_of(asking, said, "chat")["scope"] == ""
    with pytest.raises(InvalidCall, match="unknown attribute 'scope'"):
        limits_of(policy, {"tenant": "acme", "tier": "free", "scope": "a"}, "score")


def test_a_callers_own_limits_are_chosen_by_its_subject() -> None:
    own = "{ada: {limits: [{name: rpm, algorithm: sliding_window, limit: 9, window: 60s}]}}"
    policy = parse_policy(POLICY.replace("  acme:\n", f"  acme:\n    subjects: {own}\n"))
    said = {"tenant": "acme", "tier": "free"}
    assert [limit.scope for limit in limits_of(policy, said | {"subject": "ada"}, "chat")] == ["subject:acme/ada"]
    assert [limit.scope for limit in limits_of(policy, said | {"subject": "bob"}, "chat")] == ["tier:free"]
    with pytest.raises(InvalidCall, match="'subject' is missing"):
        limits_of(policy, {"tenant": "acme", "tier": "premium", "model": "m"}, "chat")


def test_a_plan_is_found_again_until_the_policy_changes(policy: Policy) -> None:
    plans = Plans()
    plan = plans.plan(policy, ["pii", "secrets"])
    assert plans.plan(policy, ["secrets", "pii"]) is plan
    assert plans.plan(policy, ["secrets"]) is not plan

    changed = parse_policy(POLICY.replace("act: redact", "act: mask"))
    assert plans.plan(changed, ["pii", "secrets"]).actions != plan.actions


def test_a_plan_for_an_endpoint_knows_its_fields() -> None:
    path = "path: /api/score, methods: [POST]}"
    open_floor = POLICY.replace("  floor:\n", "  floor:\n    unscannable: pass\n")
    policy = parse_policy(open_floor.replace(path, f"{path}\n    fields: {{skip: [/a]}}"))
    plans = Plans()
    chosen = plans.plan(policy, ["secrets"], "score")
    assert chosen.selection == selection_of([], ["/a"], keys=True)
    assert plans.plan(policy, ["secrets"], "score") is chosen
    assert plans.plan(policy, ["secrets"]).selection is None


def test_in_shadow_a_plan_finds_the_same_and_changes_nothing(policy: Policy) -> None:
    enforced, shadow = Plans().plan(policy, ["secrets", "pii"]), Plans(shadow=True).plan(policy, ["secrets", "pii"])
    assert shadow.actions.keys() == enforced.actions.keys()
    assert shadow.shadow
    assert not enforced.shadow
