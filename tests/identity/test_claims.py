"""Which claim gives which part of the identity."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tidegate.identity import BearerVerifier
from tidegate.model import Deny, Identity
from tidegate.policy.compiled_identity import ClaimMap

from tests.identity import forge

MAP = ClaimMap(tenant=("org", "id"), tier=("plan",), roles=("roles",))


async def identify(
    verifier: BearerVerifier, where: ClaimMap = MAP, drop: tuple[str, ...] = (), **claims: Any
) -> Identity:
    body = {name: value for name, value in (forge.good_claims() | claims).items() if name not in drop}
    answer = await verifier.verify(forge.token(body), (forge.issuer(claims=where),), policy_version="v")
    assert isinstance(answer, Identity), answer
    return answer


async def test_everything_mapped(verifier: BearerVerifier) -> None:
    identity = await identify(verifier, jti="token-7")
    assert (identity.subject, identity.tenant, identity.tier, identity.method) == ("user-1", "acme", "free", "jwt")
    assert identity.roles == {"analyst", "admin"}
    assert identity.scopes == {"chat", "read"}
    assert identity.credential == "token-7"
    assert identity.expires_at == forge.NOW + 300


@pytest.mark.parametrize("jti", ["", "a\nb", "x" * 300])
async def test_a_jti_that_is_no_name_gives_way_to_the_key_id(jti: str, verifier: BearerVerifier) -> None:
    assert (await identify(verifier, jti=jti)).credential == "rsa"


@pytest.mark.parametrize(
    ("claims", "client"),
    [
        ({}, ""),
        ({"client_id": "app-1"}, "app-1"),
        ({"azp": "app-2"}, "app-2"),
        ({"client_id": "app-1", "azp": "app-2"}, "app-1"),
        ({"client_id": 7, "azp": "app-2"}, "app-2"),
        ({"client_id": "a\nb"}, ""),
        ({"azp": ["app-1"]}, ""),
    ],
)
async def test_the_client_application(claims: Any, client: str, verifier: BearerVerifier) -> None:
    assert (await identify(verifier, **claims)).client_id == client


@pytest.mark.parametrize(
    "roles", ["analyst admin", " analyst  admin ", ["admin", "analyst"], ["admin", "analyst", "admin"]]
)
async def test_roles_come_as_a_list_or_a_string(roles: Any, verifier: BearerVerifier) -> None:
    assert (await identify(verifier, roles=roles)).roles == {"analyst", "admin"}


@pytest.mark.parametrize(
    ("claims", "drop", "scopes"),
    [
        ({"scope": "a b"}, (), {"a", "b"}),
        ({"scope": ["a", "b"]}, (), {"a", "b"}),
        ({"scope": ""}, (), set()),
        ({"scp": ["a", "b"]}, ("scope",), {"a", "b"}),
        ({"scp": "a b"}, ("scope",), {"a", "b"}),
        ({"scope": "a", "scp": ["b"]}, (), {"a"}),
        ({}, ("scope",), set()),
    ],
)
async def test_scopes(claims: Any, drop: tuple[str, ...], scopes: set[str], verifier: BearerVerifier) -> None:
    assert (await identify(verifier, drop=drop, **claims)).scopes == scopes


async def test_defaults_stand_in_for_absent_claims_only(verifier: BearerVerifier) -> None:
    where = replace(MAP, default_tenant="public", default_tier="basic", default_roles=frozenset({"guest"}))
    identity = await identify(verifier, where, drop=("org", "plan", "roles"))
    assert (identity.tenant, identity.tier, identity.roles) == ("public", "basic", {"guest"})
    assert (await identify(verifier, where, org={})).tenant == "public"
    for wrong in ({"org": {"id": 7}}, {"org": "acme"}, {"org": None}, {"plan": None}, {"roles": 1}, {"roles": None}):
        token = forge.token(forge.good_claims() | wrong)
        answer = await verifier.verify(token, (forge.issuer(claims=where),), policy_version="v")
        assert isinstance(answer, Deny), wrong
        assert answer.status == 403
    assert (await identify(verifier, where, roles=[])).roles == frozenset()


async def test_what_is_not_mapped_comes_from_the_policy(verifier: BearerVerifier) -> None:
    where = ClaimMap(default_tenant="corp", default_tier="internal")
    identity = await identify(verifier, where, tenant="evil", tier="root", roles=["admin"])
    assert (identity.tenant, identity.tier, identity.roles) == ("corp", "internal", frozenset())


@pytest.mark.parametrize("named", ["globex", "nobody", "Acme", "acme2"])
async def test_an_issuer_speaks_for_its_own_tenants_alone(named: str, verifier: BearerVerifier) -> None:
    where = replace(MAP, default_tenant="acme", tenants=frozenset({"acme", "initech"}))
    assert (await identify(verifier, where)).tenant == "acme"
    assert (await identify(verifier, where, org={"id": "initech"})).tenant == "initech"
    assert (await identify(verifier, where, org={})).tenant == "acme"
    token = forge.token(forge.good_claims() | {"org": {"id": named}})
    answer = await verifier.verify(token, (forge.issuer(claims=where),), policy_version="v")
    assert isinstance(answer, Deny)
    assert (answer.status, answer.detail) == (403, "tenant_not_its")


async def test_what_an_issuer_may_no_longer_say_is_forgotten_with_the_policy(verifier: BearerVerifier) -> None:
    token = forge.token(forge.good_claims() | {"org": {"id": "globex"}})
    answer = await verifier.verify(token, (forge.issuer(claims=MAP),), policy_version="v")
    assert isinstance(answer, Identity)
    narrowed = forge.issuer(claims=replace(MAP, tenants=frozenset({"acme"})))
    assert isinstance(await verifier.verify(token, (narrowed,), policy_version="w"), Deny)


async def test_another_claim_for_the_subject(verifier: BearerVerifier) -> None:
    where = replace(MAP, subject=("https://example.com/user", "mail"))
    identity = await identify(verifier, where, **{"https://example.com/user": {"mail": "a@example.com"}})
    assert identity.subject == "a@example.com"
    answer = await verifier.verify(forge.token(), (forge.issuer(claims=where),), policy_version="v")
    assert isinstance(answer, Deny)
    assert answer.detail == "subject_unmapped"


async def test_a_client_that_got_a_token_for_itself_is_the_caller_where_the_policy_says_so(
    verifier: BearerVerifier,
) -> None:
    body = {name: value for name, value in good_client().items() if name != "sub"}
    where = replace(MAP, client=("client_id",))
    answer = await verifier.verify(forge.token(body), (forge.issuer(claims=where),), policy_version="v")
    assert isinstance(answer, Identity)
    assert (answer.subject, answer.tenant) == ("batch-job", "acme")
    answer = await verifier.verify(forge.token(body), (forge.issuer(),), policy_version="w")
    assert isinstance(answer, Deny)
    assert answer.detail == "sub"


@pytest.mark.parametrize("sub", [None, "", 7, ["batch-job"]])
async def test_a_bad_sub_does_not_give_way_to_the_client(sub: Any, verifier: BearerVerifier) -> None:
    where = replace(MAP, client=("client_id",))
    token = forge.token(good_client() | {"sub": sub})
    answer = await verifier.verify(token, (forge.issuer(claims=where),), policy_version="v")
    assert isinstance(answer, Deny)
    assert answer.detail == "sub"


@pytest.mark.parametrize("client", [None, "", 7, "a\nb", {"id": "x"}])
async def test_a_bad_client_is_nobody(client: Any, verifier: BearerVerifier) -> None:
    body = {name: value for name, value in good_client().items() if name != "sub"} | {"client_id": client}
    where = replace(MAP, client=("client_id",))
    answer = await verifier.verify(forge.token(body), (forge.issuer(claims=where),), policy_version="v")
    assert isinstance(answer, Deny)
    assert answer.detail == "sub"


async def test_a_user_stays_the_caller_whatever_client_she_uses(verifier: BearerVerifier) -> None:
    identity = await identify(verifier, replace(MAP, client=("client_id",)), client_id="web-app")
    assert identity.subject == "user-1"


async def test_the_audiences_of_a_token_are_kept(verifier: BearerVerifier) -> None:
    assert (await identify(verifier, aud=["models", "other"])).audiences == {"models", "other"}
    assert (await identify(verifier, aud="models-eu")).audiences == {"models-eu"}


def good_client() -> dict[str, Any]:
    return forge.good_claims() | {"client_id": "batch-job"}
