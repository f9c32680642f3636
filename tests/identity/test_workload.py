"""Client certificates as credentials: whose they are, which proxies are believed, and tokens that are bound to one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from hypothesis import given, settings
from hypothesis import strategies as st
from tidegate.identity import BearerVerifier, Identifier, Introspector, KeyStore, xfcc
from tidegate.identity.workload import workload_of
from tidegate.model import Deny, Identity, Reason, Request
from tidegate.policy.compiled import Policy
from tidegate.policy.workloads import Workload, Workloads

from tests.e2e.certificates import make_certificates
from tests.identity import forge
from tests.identity.forge import FakeClock
from tests.identity.test_api_key import PEPPER
from tests.identity.test_identifier import BOTH, NOTHING

BATCH = "spiffe://prod.example.com/ns/ml/sa/batch"
PROXY = "spiffe://prod.example.com/ns/edge/sa/proxy"
POLICY = replace(
    NOTHING,
    workloads=Workloads(
        (
            Workload(BATCH, "acme", "internal", "", frozenset({"job"}), frozenset({"chat"}), frozenset({"embed"})),
            Workload("spiffe://prod.example.com/ns/web/**", "acme", "free", subject="web"),
        )
    ),
    xfcc_from=frozenset({PROXY}),
)


def request(peer: str = "", certificate: str = "", **headers: str) -> Request:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request("id", "GET", "host", "/", headers=named, peer=peer, peer_certificate=certificate)


def certificate_of(directory: Path, *uris: str) -> tuple[str, str]:
    """(as Envoy hands it over, its x5t#S256)."""
    pem = make_certificates(directory, *uris).cert.read_bytes()
    digest = x509.load_pem_x509_certificate(pem).fingerprint(hashes.SHA256())
    return quote(pem, safe=""), forge.b64(digest)


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    return certificate_of(tmp_path_factory.mktemp("batch"), BATCH)


@pytest.fixture
def identifier(verifier: BearerVerifier, clock: FakeClock) -> Iterator[Identifier]:
    yield Identifier(
        keys=KeyStore({}, pepper=PEPPER), verifier=verifier, introspector=Introspector(clock=clock), clock=clock
    )


def test_a_workload_is_whom_the_policy_says() -> None:
    assert workload_of(POLICY, request(BATCH)) == Identity(
        BATCH,
        "acme",
        "internal",
        "mtls",
        frozenset({"job"}),
        frozenset({"chat"}),
        credential=BATCH,
        endpoints=frozenset({"embed"}),
    )
    below = workload_of(POLICY, request("spiffe://prod.example.com/ns/web/sa/7"))
    assert isinstance(below, Identity)
    assert (below.subject, below.credential) == ("web", "spiffe://prod.example.com/ns/web/sa/7")
    assert below.endpoints is None


@pytest.mark.parametrize(
    "peer",
    [
        "",
        "batch",
        "CN=batch",
        "spiffe://other.example.com/ns/ml/sa/batch",
        "spiffe://prod.example.com.evil/ns/ml/sa/batch",
        f"{BATCH}/",
        BATCH.upper(),
        f"{BATCH}?x",
    ],
)
def test_a_stranger_is_nobody(peer: str) -> None:
    assert workload_of(POLICY, request(peer)) is None


@pytest.mark.parametrize(
    "peer", [f"{BATCH}2", f"{BATCH}/x", "spiffe://prod.example.com/ns/ml", PROXY.replace("proxy", "x")]
)
def test_an_unnamed_workload_of_a_known_trust_domain_is_403(peer: str) -> None:
    verdict = workload_of(POLICY, request(peer))
    assert isinstance(verdict, Deny)
    assert (verdict.status, verdict.reason, verdict.detail) == (403, Reason.ACCESS_DENIED, "workload_unknown")
    assert peer not in verdict.message


def test_a_certificate_that_says_something_else_is_nobodys(tmp_path: Path, batch: tuple[str, str]) -> None:
    assert isinstance(workload_of(POLICY, request(BATCH, batch[0])), Identity)
    two, _ = certificate_of(tmp_path / "", BATCH, "spiffe://prod.example.com/ns/web/x")
    assert workload_of(POLICY, request(BATCH, two)) is None
    (tmp_path / "none").mkdir()
    none, _ = certificate_of(tmp_path / "none")
    for other in (none, "nonsense", quote("-----BEGIN CERTIFICATE-----"), batch[0][:-300], "%ff", "%00"):
        assert workload_of(POLICY, request(BATCH, other)) is None


@pytest.mark.parametrize(
    ("header", "name"),
    [
        (f"URI={BATCH}", BATCH),
        (f'By=spiffe://x/y;Hash=ab12;Subject="CN=\\"a,b;c\\",O=x";URI={BATCH};DNS=a.example', BATCH),
        (f"URI=spiffe://prod.example.com/ns/web/a,Hash=1;URI={BATCH}", BATCH),
        (f'uri="{BATCH}"', BATCH),
        (f"URI={BATCH};Hash=", BATCH),
        ("URI=spiffe://prod.example.com/ns/web/a", "web"),
    ],
)
def test_a_known_proxy_names_the_workload_before_it(header: str, name: str) -> None:
    verdict = workload_of(POLICY, request(PROXY, x_forwarded_client_cert=header))
    assert isinstance(verdict, Identity)
    assert verdict.subject == name


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Hash=ab",
        f"URI={BATCH},Hash=ab",
        f"URI={BATCH},",
        f"URI={BATCH};",
        f"URI={BATCH};URI=spiffe://prod.example.com/ns/web/a",
        f"URI={BATCH}, URI={BATCH}",
        f'URI="{BATCH}',
        f"URI {BATCH}",
        f'Subject="x\\";URI={BATCH}',
        f"{BATCH}",
        f"URI={BATCH}\x00",
        "URI=" + "a" * 70_000,
    ],
)
def test_a_proxy_that_names_nobody_clearly_brings_nobody(header: str) -> None:
    assert workload_of(POLICY, request(PROXY, x_forwarded_client_cert=header)) is None


def test_nobody_else_is_believed_about_certificates() -> None:
    header = f"URI={BATCH}"
    for peer in ("", "spiffe://other.example.com/proxy", PROXY + "2", "spiffe://prod.example.com/ns/web/a"):
        verdict = workload_of(POLICY, request(peer, x_forwarded_client_cert=header))
        assert not isinstance(verdict, Identity) or verdict.subject == "web"


NAMES = st.sampled_from(["URI", "By", "Hash", "Subject", "DNS"])
VALUES = st.text(alphabet='ab,;="\\ /:', max_size=8)


@settings(deadline=None)
@given(elements=st.lists(st.lists(st.tuples(NAMES, VALUES), min_size=1, max_size=4), min_size=1, max_size=4))
def test_whatever_is_written_by_the_rules_is_read_so(elements: list[list[tuple[str, str]]]) -> None:
    def written(value: str) -> str:
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

    header = ",".join(";".join(f"{name}={written(value)}" for name, value in element) for element in elements)
    assert xfcc.last_uris(header) == tuple(value for name, value in elements[-1] if name == "URI")


@settings(deadline=None)
@given(text=st.text(alphabet='URIurHash=",;\\ ab', max_size=60))
def test_no_header_raises(text: str) -> None:
    assert xfcc.last_uris(text) is None or "=" in text


async def ask(identifier: Identifier, policy: Policy, asked: Request) -> Any:
    return await identifier.identify(policy, asked)


async def test_a_credential_in_the_request_counts_before_the_certificate(identifier: Identifier) -> None:
    both = replace(BOTH, workloads=POLICY.workloads)
    token = request(BATCH, authorization=f"Bearer {forge.token()}")
    assert (await ask(identifier, both, token)).method == "jwt"
    bad = await ask(identifier, both, request(BATCH, authorization="Bearer x.y.z"))
    assert isinstance(bad, Deny)  # and no falling through
    assert (await ask(identifier, both, request(BATCH))).method == "mtls"
    assert (await ask(identifier, both, request("spiffe://other.example/x"))).reason is Reason.CREDENTIAL_MISSING
    assert (await ask(identifier, BOTH, request(BATCH))).reason is Reason.CREDENTIAL_MISSING


def test_the_model_does_not_see_what_proxies_said(identifier: Identifier) -> None:
    assert identifier.credential_headers(POLICY) == ("x-forwarded-client-cert",)
    assert "x-forwarded-client-cert" not in identifier.credential_headers(BOTH)


async def bound(identifier: Identifier, cnf: Any, certificate: str) -> Any:
    token = forge.token(forge.good_claims() | {"cnf": cnf})
    return await ask(identifier, BOTH, request(BATCH, certificate, authorization=f"Bearer {token}"))


async def test_a_token_bound_to_a_certificate_is_good_with_that_certificate_only(
    identifier: Identifier, batch: tuple[str, str], tmp_path: Path
) -> None:
    """RFC 8705 section 3: also when the token itself was verified before and is remembered."""
    certificate, digest = batch
    other, _ = certificate_of(tmp_path, BATCH)
    for _ in range(2):
        assert isinstance(await bound(identifier, {"x5t#S256": digest}, certificate), Identity)
        assert (await bound(identifier, {"x5t#S256": digest}, "")).detail == "cnf_no_certificate"
        assert (await bound(identifier, {"x5t#S256": digest}, other)).detail == "cnf_other_certificate"


@pytest.mark.parametrize(
    "cnf",
    [
        None,
        "",
        {},
        [],
        True,
        {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"},
        {"jwk": {"kty": "EC"}},
        {"kid": "a"},
        {"x5t#S256": 7},
        {"x5t#S256": ""},
        {"x5t#S256": "é"},
        {"x5t#S256": ["x"]},
        {"x5t": "x"},
        {"X5T#S256": "x"},
        {"x5t#S256": "DIGEST", "jkt": "x"},
        {"x5t#S256": "DIGEST="},
    ],
)
async def test_a_binding_that_is_not_proved_is_a_refusal(
    cnf: Any, identifier: Identifier, batch: tuple[str, str]
) -> None:
    """To ignore a binding would make a stolen token good. How a DPoP key is proved is in test_dpop."""
    if isinstance(cnf, dict):
        cnf = {k: v.replace("DIGEST", batch[1]) if isinstance(v, str) else v for k, v in cnf.items()}
    verdict = await bound(identifier, cnf, batch[0])
    assert isinstance(verdict, Deny)
    assert (verdict.status, verdict.reason) == (401, Reason.CREDENTIAL_INVALID)
    assert verdict.detail in ("cnf_unsupported", "cnf_other_certificate", "dpop_downgraded")
