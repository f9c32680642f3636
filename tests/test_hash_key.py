"""What is hashed cannot be found by trying every value: without a secret nothing is hashed."""

from __future__ import annotations

import pytest
from tidegate.errors import PolicyError
from tidegate.hash_key import check_hash_key, hash_key
from tidegate.policy import parse_policy

_POLICY = "version: 1\nrulesets:\n  pii: [{detect: [PHONE], act: ACT}]\n"


def test_a_policy_that_hashes_without_a_pepper_is_refused_by_name() -> None:
    with pytest.raises(PolicyError, match=r"rulesets\.pii: act: hash needs a secret"):
        check_hash_key(parse_policy(_POLICY.replace("ACT", "hash")), b"")


@pytest.mark.parametrize(("act", "pepper"), [("hash", b"sixteen bytes or more"), ("redact", b"")])
def test_others_need_none(act: str, pepper: bytes) -> None:
    check_hash_key(parse_policy(_POLICY.replace("ACT", act)), pepper)


def test_the_key_is_not_the_pepper_and_changes_with_it() -> None:
    first, second = hash_key(b"sixteen bytes or more"), hash_key(b"sixteen bytes or mora")
    assert len({first, second, b"sixteen bytes or more"}) == 3
    assert hash_key(b"") == b""
