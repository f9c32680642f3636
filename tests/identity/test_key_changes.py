"""The life of an API key: rotated, revoked, expiring, each a pure step."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tidegate.identity import KeyStore, mint_key
from tidegate.identity.key_changes import KeyChangeRefused, expiring, revoked, rotated
from tidegate.identity.key_file import KeyEntry
from tidegate.model import Deny, Identity, Reason

from tests.identity.forge import NOW

PEPPER = b"a pepper of the tests"
ID = "demo00000001"
SOON = datetime.fromtimestamp(NOW, UTC) + timedelta(hours=1)


def minted(seed: int) -> tuple[str, str]:
    key, _, digest = mint_key(PEPPER, key_id=ID, rng=lambda n: bytes([seed]) * n)
    return key, digest


def entry(seed: int = 1, **more: Any) -> KeyEntry:
    return KeyEntry(id=ID, hash=minted(seed)[1], subject="batch", tenant="acme", tier="free", **more)


def proves(made: KeyEntry, seed: int, now: float = NOW) -> Identity | Deny:
    return KeyStore.of([made], pepper=PEPPER).prove(minted(seed)[0], now=now)


def test_after_a_rotation_both_secrets_are_good_until_the_overlap_ends() -> None:
    made = rotated(entry(1), minted(2)[1], overlap_until=SOON)
    assert isinstance(proves(made, 1), Identity)
    assert isinstance(proves(made, 2), Identity)
    assert isinstance(proves(made, 1, NOW + 3599.9), Identity)
    late = proves(made, 1, NOW + 3600)
    assert isinstance(late, Deny)
    assert (late.status, late.reason, late.detail) == (401, Reason.CREDENTIAL_EXPIRED, "key_rotated")
    assert isinstance(proves(made, 2, NOW + 10**6), Identity)


def test_a_rotation_without_overlap_ends_the_old_secret_at_once() -> None:
    made = rotated(entry(1), minted(2)[1], overlap_until=None)
    assert isinstance(proves(made, 1), Deny)
    assert isinstance(proves(made, 2), Identity)


def test_a_second_rotation_gives_up_the_oldest_secret() -> None:
    twice = rotated(rotated(entry(1), minted(2)[1], overlap_until=SOON), minted(3)[1], overlap_until=SOON)
    assert [isinstance(proves(twice, seed), Identity) for seed in (1, 2, 3)] == [False, True, True]
    once = rotated(twice, minted(4)[1], overlap_until=None)
    assert [isinstance(proves(once, seed), Identity) for seed in (1, 2, 3, 4)] == [False, False, False, True]


def test_a_revoked_key_opens_nothing_whatever_the_clock_says_and_stays_so() -> None:
    gone = revoked(rotated(entry(1), minted(2)[1], overlap_until=SOON), now=NOW)
    for seed, now in ((1, NOW), (2, NOW), (2, NOW - 10**6), (2, 0.0)):
        verdict = proves(gone, seed, now)
        assert isinstance(verdict, Deny)
        assert (verdict.status, verdict.detail) == (401, "key_revoked")
    assert revoked(gone, now=NOW + 5) == gone
    with pytest.raises(KeyChangeRefused, match="revoked, for good"):
        rotated(gone, minted(3)[1], overlap_until=None)
    with pytest.raises(KeyChangeRefused, match="revoked, for good"):
        expiring(gone, None)


def test_only_who_knows_a_secret_learns_that_it_is_revoked() -> None:
    verdict = proves(revoked(entry(1), now=NOW), 9)
    assert isinstance(verdict, Deny)
    assert verdict.detail == "key_secret"


def test_an_end_may_be_set_moved_and_taken_away() -> None:
    ending = expiring(entry(1), SOON)
    assert isinstance(proves(ending, 1, NOW + 3599), Identity)
    assert isinstance(proves(ending, 1, NOW + 3600), Deny)
    assert isinstance(proves(expiring(ending, None), 1, NOW + 10**6), Identity)
    assert isinstance(proves(expiring(entry(1), datetime.fromtimestamp(NOW - 1, UTC)), 1), Deny)


def test_a_key_for_some_endpoints_says_so() -> None:
    identity = proves(entry(1, endpoints=["chat"]), 1)
    assert isinstance(identity, Identity)
    assert identity.endpoints == {"chat"}
    assert proves(entry(1), 1).endpoints is None  # type: ignore[union-attr]


@settings(deadline=None)
@given(
    steps=st.lists(st.sampled_from(["rotate", "rotate_now", "revoke", "expire", "never"]), max_size=8),
    more=st.fixed_dictionaries({}, optional={"roles": st.just(["a"]), "endpoints": st.just(["chat"])}),
)
def test_no_sequence_of_steps_revives_a_key_or_changes_whose_it_is(steps: list[str], more: dict[str, Any]) -> None:
    made, ended = entry(1, **more), False
    for number, step in enumerate(steps, 2):
        try:
            match step:
                case "rotate":
                    made = rotated(made, minted(number)[1], overlap_until=SOON)
                case "rotate_now":
                    made = rotated(made, minted(number)[1], overlap_until=None)
                case "revoke":
                    made, ended = revoked(made, now=NOW), True
                case "expire":
                    made = expiring(made, SOON)
                case "never":
                    made = expiring(made, None)
        except KeyChangeRefused:
            assert ended
        assert len(made.digests) in (1, 2)
        assert (made.id, made.subject, made.tenant, made.tier) == (ID, "batch", "acme", "free")
        assert (made.roles, made.endpoints) == (more.get("roles", []), more.get("endpoints"))
        assert KeyEntry.model_validate_json(made.model_dump_json(exclude_defaults=True)) == made
    assert ended is (made.revoked is not None)
