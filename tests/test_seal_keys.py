"""The secrets of pseudonyms that lead back: read strictly, a tenant's never another's, and asked for where needed."""

from __future__ import annotations

from pathlib import Path

import pytest
from tidegate.errors import PolicyError
from tidegate.filtering.pseudonyms import Pseudonym
from tidegate.filtering.ruleset import Action, FilterPlan
from tidegate.filtering.sealed import Opened
from tidegate.hash_key import keyed
from tidegate.policy import parse_policy
from tidegate.seal_keys import NO_SEALS, SealKeys, check_seal_keys, read_seal_keys
from tidegate.settings import Settings, SettingsError

OLD, NEW = b"old-secret-of-thirty-two-bytes-or-more", b"new-secret-of-thirty-two-bytes-or-more"
REVERSIBLE = "version: 1\nrulesets:\n  pii: [{detect: [EMAIL], act: pseudonymize, reversible: true}]\n"
REVEALED = "version: 1\ntiers: {free: {}}\ntenants: {acme: {reveal: {roles: [privacy]}}}\n"


def test_a_file_has_one_secret_a_line_and_the_first_one_seals(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_bytes(b"# since May\n" + NEW + b"\n\n  " + OLD + b"  \n")
    assert read_seal_keys(file) == (NEW, OLD)
    assert read_seal_keys(None) == ()


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "1 to 8 secrets"),
        (b"# nothing\n", "1 to 8 secrets"),
        (b"\n".join(b"%d%s" % (number, OLD) for number in range(9)), "1 to 8 secrets"),
        (b"short\n" + OLD, "at least 32 bytes"),
        (OLD + b"\n" + OLD, "stands there twice"),
    ],
    ids=["empty", "only a comment", "too many", "too short", "twice"],
)
def test_a_file_that_is_no_such_file_is_refused_and_no_secret_is_told(
    tmp_path: Path, content: bytes, fault: str
) -> None:
    file = tmp_path / "keys"
    file.write_bytes(content)
    with pytest.raises(SettingsError, match=fault) as told:
        read_seal_keys(file)
    assert OLD.decode() not in str(told.value)
    with pytest.raises(SettingsError, match="cannot be read"):
        read_seal_keys(tmp_path / "none")


def test_a_tenant_cannot_open_what_is_anothers() -> None:
    keys = SealKeys((OLD,))
    acme, globex = keys.of("acme"), keys.of("globex")
    assert acme is not None
    assert globex is not None
    pseudonym = acme.close("EMAIL", "bob@example.com", b"context.")
    assert pseudonym is not None
    assert acme.open(pseudonym) == Opened("EMAIL", "bob@example.com")
    assert globex.open(pseudonym) is None


def test_there_is_no_seal_without_secrets_or_without_a_tenant() -> None:
    assert NO_SEALS.of("acme") is None
    assert SealKeys((OLD,)).of("") is None
    assert not NO_SEALS
    assert SealKeys((OLD,))


def test_only_a_plan_that_leads_back_is_given_a_seal() -> None:
    how = {"EMAIL": Pseudonym("tenant", reversible=True)}
    there = keyed(
        FilterPlan({"EMAIL": Action.PSEUDONYMIZE}, pseudonyms=how), b"k", tenant="acme", seals=SealKeys((OLD,))
    )
    plain = keyed(FilterPlan({"EMAIL": Action.PSEUDONYMIZE}), b"k", tenant="acme", seals=SealKeys((OLD,)))
    assert there.keys is not None
    assert there.keys.seal is not None
    assert plain.keys is not None
    assert plain.keys.seal is None


def test_a_policy_that_leads_back_without_secrets_or_reveals_without_a_record_is_refused_by_name() -> None:
    with pytest.raises(PolicyError, match=r"rulesets\.pii: reversible: true needs secrets"):
        check_seal_keys(parse_policy(REVERSIBLE), (), audited=True)
    with pytest.raises(PolicyError, match=r"tenants\.acme\.reveal: nothing is revealed that cannot be put on record"):
        check_seal_keys(parse_policy(REVEALED), (OLD,), audited=False)
    check_seal_keys(parse_policy(REVERSIBLE), (OLD,), audited=False)
    check_seal_keys(parse_policy(REVEALED), (), audited=True)


def test_settings_do_not_show_the_secrets() -> None:
    assert OLD.decode() not in repr(Settings(Path("policy.yaml"), pseudonym_keys=(OLD,)))
