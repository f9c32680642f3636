"""Which tokens a list of revocations covers, how it is kept in a file, and what of it ends what runs."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tidegate.errors import PolicyError
from tidegate.identity import (
    BearerVerifier,
    Identifier,
    Introspector,
    KeyStore,
    revocation_file,
)
from tidegate.identity.revocation import Revocation, RevokedTokens
from tidegate.identity.standing import Standing
from tidegate.model import Deny, Identity, Proof, Reason, Request, proof_of
from tidegate.policy import compiled_identity

from tests.identity import forge
from tests.identity.forge import NOW, FakeClock
from tests.identity.test_api_key import PEPPER, record, write
from tests.identity.test_identifier import BOTH, DIGEST, KEY, KEY_ID

TOKEN = Proof("jwt", token="t1", issuer="https://id.example", issued=NOW, expires=NOW + 600)


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def covered(proof: Proof = TOKEN, **entry: Any) -> bool:
    return RevokedTokens([Revocation(**entry)]).covers(proof, "ada", "acme")


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"token": "t1"}, True),
        ({"token": "t2"}, False),
        ({"token": "t1", "issuer": "https://id.example"}, True),
        ({"token": "t1", "issuer": "https://other.example"}, False),
        ({"subject": "ada", "before": at(NOW + 1)}, True),
        ({"subject": "ada", "before": at(NOW)}, False),
        ({"subject": "eve", "before": at(NOW + 1)}, False),
        ({"subject": "ada", "tenant": "acme", "before": at(NOW + 1)}, True),
        ({"subject": "ada", "tenant": "beta", "before": at(NOW + 1)}, False),
        ({"tenant": "acme", "before": at(NOW + 1)}, True),
        ({"tenant": "beta", "before": at(NOW + 1)}, False),
        ({"issuer": "https://id.example", "before": at(NOW + 1)}, True),
        ({"issuer": "https://id.example", "subject": "eve", "before": at(NOW + 1)}, False),
        ({"issuer": "https://other.example", "before": at(NOW + 1)}, False),
    ],
)
def test_an_entry_covers_what_it_names_and_nothing_else(entry: dict[str, Any], expected: bool) -> None:
    assert covered(**entry) is expected
    assert covered(replace_proof(issued=None), **entry) is (expected or entry == {"subject": "ada", "before": at(NOW)})


def test_a_list_of_many_tenants_and_issuers_is_not_walked_for_each_request() -> None:
    many = [{"tenant": f"t{number}"} for number in range(500)] + [{"issuer": f"i{number}"} for number in range(500)]
    listed = RevokedTokens([Revocation.model_validate({**one, "before": at(NOW + 1)}) for one in many])
    assert max(map(len, listed._owners.values())) == 1
    assert listed.covers(replace_proof(issued=NOW), "eve", "t7")
    assert listed.covers(replace_proof(issued=NOW, issuer="i7"), "eve", "other")
    assert not listed.covers(replace_proof(issued=NOW), "eve", "other")


def replace_proof(**changes: Any) -> Proof:
    return TOKEN._replace(**changes)


@pytest.mark.parametrize("method", ["api_key", "workload", "anonymous"])
def test_only_tokens_are_on_the_list(method: str) -> None:
    assert not covered(replace_proof(method=method), token="t1")
    assert not covered(replace_proof(method=method), tenant="acme", before=at(NOW + 1))


@pytest.mark.parametrize(
    "entry",
    [
        {}, {"subject": "ada"}, {"before": at(NOW)}, {"token": "t", "before": at(NOW)},
        {"token": "t", "subject": "ada"},
        {"token": ""}, {"token": "t", "reason": "x"}, {"subject": "ada", "before": "yesterday"},
        {"subject": "ada", "before": datetime(2030, 1, 1)},
    ],
)  # fmt: skip
def test_an_entry_that_could_mean_two_things_is_none(entry: dict[str, Any]) -> None:
    with pytest.raises((ValidationError, ValueError)):
        Revocation.model_validate(entry)


def identity(**changes: Any) -> Identity:
    base = Identity("ada", "acme", "free", "jwt", claims={"iss": "i", "jti": "t1", "iat": 5}, credential="t1")
    return base._replace(**changes)


def test_a_token_without_an_id_is_not_revoked_by_that_of_its_key() -> None:
    assert proof_of(identity()) == Proof("jwt", token="t1", issuer="i", issued=5.0)
    assert proof_of(identity(claims={"iss": "i"}, credential="kid-1")).token == ""
    assert proof_of(identity(method="introspection", claims={}, credential="0123456789abcdef")).token
    assert proof_of(identity(method="api_key", credential="k1", expires_at=9.0)) == Proof(
        "api_key", key="k1", expires=9.0
    )


async def test_a_revoked_token_is_refused_also_when_it_is_remembered(
    tmp_path: Path, verifier: BearerVerifier, clock: FakeClock
) -> None:
    store = KeyStore.load(write(tmp_path / "keys.yaml", record(KEY_ID, DIGEST)), pepper=PEPPER)
    identifier = Identifier(keys=store, verifier=verifier, introspector=Introspector(clock=clock), clock=clock)
    under, token = (
        replace(BOTH, revocation=compiled_identity.Revocation()),
        forge.token(forge.good_claims() | {"jti": "t1"}),
    )
    request = Request("id", "GET", "h", "/", headers={"authorization": f"Bearer {token}"})
    known = await identifier.identify(under, request)
    assert isinstance(known, Identity)
    identifier.revoked = RevokedTokens([Revocation(token=known.credential)])
    assert isinstance(await identifier.identify(BOTH, request), Identity)  # where the policy knows no revocation
    refused = await identifier.identify(under, request)
    assert isinstance(refused, Deny)
    assert (refused.status, refused.reason, refused.detail) == (401, Reason.CREDENTIAL_INVALID, "token_revoked")
    identifier.revoked = RevokedTokens(unavailable="out")
    unknown = await identifier.identify(under, request)
    assert isinstance(unknown, Deny)
    assert (unknown.status, unknown.reason) == (503, Reason.IDENTITY_UNAVAILABLE)
    by_key = Request("id", "GET", "h", "/", headers={"authorization": f"Bearer {KEY}"})
    assert isinstance(await identifier.identify(under, by_key), Identity)


@pytest.mark.parametrize("ends", ["revoked", "expired"])
async def test_what_runs_ends_for_the_reasons_that_the_policy_gives(
    ends: str, tmp_path: Path, verifier: BearerVerifier, clock: FakeClock
) -> None:
    given = compiled_identity.Revocation(ends_revoked=ends == "revoked", ends_expired=ends == "expired")
    policy = [replace(BOTH, revocation=given)]
    expiring = {**record(KEY_ID, DIGEST), "expires": at(NOW + 60)}
    identifier = Identifier(
        keys=KeyStore.load(write(tmp_path / "keys.yaml", expiring), pepper=PEPPER),
        verifier=verifier,
        introspector=Introspector(clock=clock),
        clock=clock,
    )
    standing = Standing(policy=lambda: policy[0], identifier=identifier, clock=clock)
    key = Proof("api_key", key=KEY_ID, expires=NOW + 999)  # the key's end was set anew meanwhile
    assert [standing.over(proof, "ada", "acme") for proof in (key, TOKEN)] == ["", ""]
    identifier.revoked = RevokedTokens([Revocation(token="t1")])
    clock.wall = NOW + 60
    assert standing.over(key, "ada", "acme") == ("expired" if ends == "expired" else "")
    assert standing.over(TOKEN, "ada", "acme") == ("revoked" if ends == "revoked" else "")
    clock.wall = NOW + 600
    assert standing.over(TOKEN, "ada", "acme") == ends
    revoked = {**record(KEY_ID, DIGEST), "revoked": at(NOW)}
    for store in (KeyStore.load(write(tmp_path / "k", revoked), pepper=PEPPER), KeyStore({}, pepper=PEPPER)):
        identifier.keys = store
        assert (standing.over(key, "ada", "acme") == "revoked") is (ends == "revoked")
    identifier.keys = KeyStore({}, pepper=PEPPER, unavailable="out")  # nobody knows: it goes on
    assert standing.over(key._replace(expires=None), "ada", "acme") == ""
    policy[0] = BOTH
    assert standing.over(TOKEN, "ada", "acme") == ""


names = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12)
moments = st.none() | st.integers(0, 4_000_000_000).map(at)
entries = st.one_of(
    st.builds(Revocation, token=names, issuer=st.none() | names, until=moments),
    st.builds(Revocation, subject=names, tenant=st.none() | names, before=st.integers(0, 4_000_000_000).map(at)),
)


@given(st.lists(entries, max_size=5, unique=True))
def test_what_is_written_to_a_file_is_read_from_it(listed: list[Revocation]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "revoked.yaml"
        for entry in listed:
            revocation_file.add(path, entry, now=-1)
        if listed:
            assert set(revocation_file.read(path)) == set(listed)
            assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_root_writes_stays_readable_to_the_service(tmp_path: Path) -> None:
    path = tmp_path / "revoked.yaml"
    revocation_file.add(path, Revocation(token="t1"), now=NOW)
    os.chown(path, 10001, 10002)
    revocation_file.add(path, Revocation(token="t2"), now=NOW)
    known = path.stat()
    assert (known.st_uid, known.st_gid, known.st_mode & 0o777) == (10001, 10002, 0o600)


def test_what_is_over_goes_with_the_next_that_comes(tmp_path: Path) -> None:
    path = tmp_path / "revoked.yaml"
    old, new = Revocation(token="t1", until=at(NOW)), Revocation(token="t2", until=at(NOW + 9))
    revocation_file.add(path, old, now=NOW - 1)
    revocation_file.add(path, new, now=NOW)
    assert revocation_file.read(path) == (new,)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("version: 2\nrevoked: []\n", ":1: version: Input should be 1"),
        ("version: 1\nrevoked:\n  - {token: t}\n  - {subject: ada}\n", ":4: revoked[1]: "),
        ("version: 1\nrevoked:\n  - {token: t, token: u}\n", ":3: revoked[0].token: is given twice"),
        ("version: 1\n", ":1: revoked: Field required"),
        ("[", "not YAML"),
    ],
)
def test_a_bad_file_is_named_by_line_and_key_and_is_not_written_to(text: str, wrong: str, tmp_path: Path) -> None:
    path = tmp_path / "revoked.yaml"
    path.write_text(text)
    with pytest.raises(PolicyError) as caught:
        revocation_file.read(path)
    assert wrong in str(caught.value)
    with pytest.raises(PolicyError):
        revocation_file.add(path, Revocation(token="t"), now=NOW)
    assert path.read_text() == text
