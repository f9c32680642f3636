from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tidegate.identity import BearerVerifier, Identifier, Introspector, KeyStore, mint_key, refusals
from tidegate.model import Deny, Identity, Reason, Request
from tidegate.policy.compiled import Endpoint, Policy
from tidegate.policy.compiled_identity import ApiKeys, Introspection, Issuer

from tests.identity import forge
from tests.identity.forge import FakeClock
from tests.identity.test_api_key import PEPPER, record, write

CHALLENGE = ("www-authenticate", 'Bearer realm="tidegate"')
BASIC = "Basic dXNlcjpwYXNz"


def policy(header: str = "", issuers: tuple[Issuer, ...] = ()) -> Policy:
    return Policy(
        version="v1",
        api_keys=ApiKeys(header, Path("unused")) if header else None,
        issuers=issuers,
        floor_rulesets=(),
        floor_limits=(),
        tiers={},
        tenants={},
        endpoints=(),
        rulesets={},
    )


BOTH = policy("authorization", (forge.issuer(),))
SPLIT = policy("x-api-key", (forge.issuer(),))
KEYS_ONLY = policy("authorization")
HEADER_ONLY = policy("x-api-key")
TOKENS_ONLY = policy("", (forge.issuer(),))
NOTHING = policy()
OPAQUE = Introspection("opaque", "http://127.0.0.1:9/introspect", "tidegate", "secret-of-the-tests")
OPAQUE_ONLY = replace(policy("authorization"), introspection=OPAQUE)
ALL = replace(BOTH, introspection=OPAQUE)

# One for all test processes, whose names for tests must agree.
KEY, KEY_ID, DIGEST = mint_key(PEPPER, rng=b"\x5a".__mul__)


@pytest.fixture
def identifier(tmp_path: Path, verifier: BearerVerifier, clock: FakeClock) -> Identifier:
    store = KeyStore.load(write(tmp_path / "keys.yaml", record(KEY_ID, DIGEST)), pepper=PEPPER)
    return Identifier(keys=store, verifier=verifier, introspector=Introspector(clock=clock), clock=clock)


async def ask(identifier: Identifier, under: Policy, **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await identifier.identify(under, Request("id", "GET", "host", "/", headers=named))


@pytest.mark.parametrize("under", [BOTH, KEYS_ONLY])
async def test_keys_on_authorization(under: Policy, identifier: Identifier) -> None:
    for scheme in ("Bearer ", "bearer ", "BEARER ", "Bearer   "):
        assert (await ask(identifier, under, authorization=scheme + KEY)).method == "api_key"


@pytest.mark.parametrize("under", [SPLIT, HEADER_ONLY])
async def test_keys_on_their_own_header_are_bare(under: Policy, identifier: Identifier) -> None:
    assert (await ask(identifier, under, x_api_key=KEY)).method == "api_key"
    assert (await ask(identifier, under, x_api_key=f"Bearer {KEY}")).detail == "key_malformed"


@pytest.mark.parametrize("under", [BOTH, SPLIT, TOKENS_ONLY])
async def test_tokens(under: Policy, identifier: Identifier) -> None:
    assert (await ask(identifier, under, authorization="Bearer " + forge.token())).method == "jwt"


@pytest.mark.parametrize(
    ("under", "text", "method"),
    [
        (ALL, KEY, "key"),
        (OPAQUE_ONLY, KEY, "key"),
        (ALL, "tg_opaque", "key"),
        (ALL, "eyJ.eyJ.x", "jwt"),
        (ALL, "2YotnFZFEjr1zCsicMWpAA", "introspection"),
        (ALL, "ab29.c0AfH6SMBx", "introspection"),
        (ALL, "v4.public.payload", "introspection"),
        (ALL, "eyJ.a.b.c", "introspection"),
        (OPAQUE_ONLY, "eyJ.eyJ.x", "introspection"),
    ],
)
async def test_one_method_recognises_a_credential_and_decides(
    under: Policy, text: str, method: str, identifier: Identifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def stand_in(name: str) -> Any:
        async def decide(*_: Any, **__: Any) -> Deny:
            asked.append(name)
            return refusals.invalid(name)

        return decide

    monkeypatch.setattr(identifier._verifier, "verify", stand_in("jwt"))
    monkeypatch.setattr(identifier._introspector, "introspect", stand_in("introspection"))
    verdict = await ask(identifier, under, authorization=f"Bearer {text}")
    assert asked == ([] if method == "key" else [method])
    assert isinstance(verdict, Identity) is (text == KEY)


@pytest.mark.parametrize("under", [BOTH, SPLIT, KEYS_ONLY, HEADER_ONLY, TOKENS_ONLY, OPAQUE_ONLY, ALL, NOTHING])
@pytest.mark.parametrize(
    "headers", [{}, {"authorization": ""}, {"authorization": "Bearer"}, {"authorization": "Bearer "}]
)
async def test_no_credential_is_401_without_an_error_code(
    under: Policy, headers: dict[str, str], identifier: Identifier
) -> None:
    verdict = await ask(identifier, under, **headers)
    assert (verdict.status, verdict.reason, verdict.headers) == (401, Reason.CREDENTIAL_MISSING, (CHALLENGE,))


@pytest.mark.parametrize("text", [BASIC, "Digest abc", "Bearertoken", "Negotiate", "tg_x", KEY, "Bearer\t" + KEY])
async def test_other_schemes_are_no_credential(text: str, identifier: Identifier) -> None:
    assert (await ask(identifier, BOTH, authorization=text)).reason is Reason.CREDENTIAL_MISSING


async def test_what_no_method_reads_is_no_credential(identifier: Identifier) -> None:
    assert (await ask(identifier, NOTHING, authorization=f"Bearer {KEY}")).reason is Reason.CREDENTIAL_MISSING
    assert (await ask(identifier, HEADER_ONLY, authorization=f"Bearer {KEY}")).reason is Reason.CREDENTIAL_MISSING
    assert (await ask(identifier, KEYS_ONLY, x_api_key=KEY)).reason is Reason.CREDENTIAL_MISSING
    assert (await ask(identifier, HEADER_ONLY, authorization="Digest a, b", x_api_key=KEY)).method == "api_key"


@pytest.mark.parametrize(
    ("under", "headers"),
    [
        (BOTH, {"authorization": f"Bearer {KEY}, Bearer {KEY}"}),
        (BOTH, {"authorization": f"{BASIC}, Bearer {KEY}"}),
        (TOKENS_ONLY, {"authorization": "Bearer a.b.c,Bearer d.e.f"}),
        (HEADER_ONLY, {"x_api_key": f"{KEY},{KEY}"}),
        (SPLIT, {"x_api_key": KEY, "authorization": f"Bearer {KEY}"}),
        (SPLIT, {"x_api_key": KEY, "authorization": "Bearer x"}),
        (SPLIT, {"x_api_key": "nonsense", "authorization": "Bearer x"}),
    ],
)
async def test_more_than_one_credential_is_400(under: Policy, headers: dict[str, str], identifier: Identifier) -> None:
    verdict = await ask(identifier, under, **headers)
    assert isinstance(verdict, Deny)
    assert (verdict.status, verdict.reason) == (400, Reason.REQUEST_MALFORMED)


async def test_another_scheme_beside_a_key_header_is_no_second_credential(identifier: Identifier) -> None:
    assert (await ask(identifier, SPLIT, authorization=BASIC, x_api_key=KEY)).method == "api_key"


async def test_a_bad_credential_never_falls_through(identifier: Identifier) -> None:
    for under, text, detail in (
        (BOTH, "tg_" + forge.token(), "key_malformed"),
        (BOTH, KEY[:-2] + "AA", "key_secret"),
        (BOTH, "x", "segments"),
        (KEYS_ONLY, forge.token(), "key_malformed"),
        (TOKENS_ONLY, KEY, "segments"),
    ):
        verdict = await ask(identifier, under, authorization=f"Bearer {text}")
        assert isinstance(verdict, Deny)
        assert (verdict.status, verdict.reason, verdict.detail) == (401, Reason.CREDENTIAL_INVALID, detail)
        assert verdict.headers[0][1].startswith('Bearer realm="tidegate", error="invalid_token", error_description="')
        assert text not in repr(verdict)


async def test_expired_credentials_say_so(identifier: Identifier, clock: FakeClock) -> None:
    token = forge.token()
    clock.advance(1000)
    verdict = await ask(identifier, BOTH, authorization=f"Bearer {token}")
    assert (verdict.status, verdict.reason) == (401, Reason.CREDENTIAL_EXPIRED)
    assert 'error="invalid_token"' in verdict.headers[0][1]


async def test_keys_are_swapped_at_once(identifier: Identifier) -> None:
    assert isinstance(await ask(identifier, KEYS_ONLY, authorization=f"Bearer {KEY}"), Identity)
    identifier.keys = KeyStore.load(None, pepper=PEPPER)
    assert (await ask(identifier, KEYS_ONLY, authorization=f"Bearer {KEY}")).detail == "key_unknown"


@pytest.mark.parametrize(
    ("under", "headers"),
    [
        (BOTH, ("authorization", "dpop")),
        (SPLIT, ("authorization", "dpop", "x-api-key")),
        (KEYS_ONLY, ("authorization",)),
        (HEADER_ONLY, ("x-api-key",)),
        (TOKENS_ONLY, ("authorization", "dpop")),
        (OPAQUE_ONLY, ("authorization", "dpop")),
        (replace(HEADER_ONLY, introspection=OPAQUE), ("authorization", "dpop", "x-api-key")),
        (NOTHING, ()),
    ],
)
def test_headers_to_strip(under: Policy, headers: tuple[str, ...], identifier: Identifier) -> None:
    assert identifier.credential_headers(under) == headers


OPEN = replace(
    BOTH,
    endpoints=(
        Endpoint("open", "acme", frozenset({"*"}), "/open", frozenset({"GET"}), anonymous="free"),
        Endpoint("write", "acme", frozenset({"*"}), "/open", frozenset({"POST"})),
        Endpoint("closed", "acme", frozenset({"*"}), "/closed", frozenset({"GET"})),
    ),
)


async def visit(
    identifier: Identifier, path: str = "/open", method: str = "GET", ip: str = "192.0.2.1", **headers: str
) -> Any:
    return await identifier.identify(OPEN, Request("id", method, "host", path, headers=headers, client_ip=ip))


async def test_no_credential_is_enough_where_the_policy_says_so_and_nowhere_else(identifier: Identifier) -> None:
    identity = await visit(identifier)
    assert identity == Identity("anonymous", "acme", "free", "anonymous", endpoints=frozenset({"open"}))
    assert (await visit(identifier, authorization=BASIC)).method == "anonymous"
    for verdict in (
        await visit(identifier, "/closed"),
        await visit(identifier, "/open/x"),
        await visit(identifier, method="POST"),
        await visit(identifier, ip=""),
    ):
        assert verdict.reason is Reason.CREDENTIAL_MISSING


async def test_a_bad_credential_is_refused_where_none_is_needed(identifier: Identifier) -> None:
    assert (await visit(identifier, authorization=f"Bearer {KEY}")).method == "api_key"
    for bad in ("Bearer x.y.z", f"Bearer {KEY[:-2]}AA", "Bearer tg_", f"Bearer {KEY}, Bearer {KEY}"):
        assert isinstance(await visit(identifier, authorization=bad), Deny)
