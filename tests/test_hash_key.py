"""What is hashed cannot be found by trying every value: without a secret nothing is hashed."""

from __future__ import annotations

import pytest
from tidegate.errors import PolicyError
from tidegate.filtering.ruleset import Action, FilterPlan
from tidegate.hash_key import check_hash_key, hash_key, keyed, scope_keys
from tidegate.policy import parse_policy

_POLICY = "version: 1\nrulesets:\n  pii: [{detect: [PHONE], act: ACT}]\n"


def test_a_policy_that_hashes_without_a_pepper_is_refused_by_name() -> None:
    with pytest.raises(PolicyError, match=r"rulesets\.pii: act: hash needs a secret"):
        check_hash_key(parse_policy(_POLICY.replace("ACT", "hash")), b"")


@pytest.mark.parametrize(("act", "pepper"), [("hash", b"sixteen bytes or more"), ("redact", b"")])
def test_others_need_none(act: str, pepper: bytes) -> None:
    check_hash_key(parse_policy(_POLICY.replace("ACT", act)), pepper)


def test_pseudonyms_need_a_pepper_too() -> None:
    with pytest.raises(PolicyError, match=r"rulesets\.pii: act: pseudonymize needs a secret"):
        check_hash_key(parse_policy(_POLICY.replace("ACT", "pseudonymize")), b"")


def test_a_conversation_is_that_of_one_caller_and_a_response_of_nobody() -> None:
    named = {"tenant": "acme", "subject": "ada", "conversation": "c1"}
    keys = scope_keys(b"k", **named)
    again = scope_keys(b"k", **named)
    assert (keys.conversation, keys.tenant) == (again.conversation, again.tenant)
    assert keys.response != again.response
    assert len({keys.response, keys.conversation, keys.tenant}) == 3
    for changed in ({"tenant": "globex"}, {"subject": "bob"}, {"conversation": "c2"}):
        assert scope_keys(b"k", **(named | changed)).conversation != keys.conversation
    assert scope_keys(b"k", tenant="acme", subject="bob").tenant == keys.tenant
    assert scope_keys(b"K", **named).tenant != keys.tenant
    alone = scope_keys(b"k")
    assert alone.conversation == alone.tenant == alone.response
    split = [{"tenant": "ac", "subject": "meada"}, {"tenant": "acme", "subject": "ada"}]
    assert len({scope_keys(b"k", conversation="c", **words).conversation for words in split}) == 2


def test_a_plan_without_pseudonyms_stays_the_one_that_is_compiled() -> None:
    redact, hide = FilterPlan({"EMAIL": Action.REDACT}), FilterPlan({"EMAIL": Action.PSEUDONYMIZE})
    assert keyed(redact, b"k", tenant="acme") is redact
    assert keyed(hide, b"k", tenant="acme").keys is not None
    assert keyed(hide, b"").keys is None


def test_the_key_is_not_the_pepper_and_changes_with_it() -> None:
    first, second = hash_key(b"sixteen bytes or more"), hash_key(b"sixteen bytes or mora")
    assert len({first, second, b"sixteen bytes or more"}) == 3
    assert hash_key(b"") == b""
