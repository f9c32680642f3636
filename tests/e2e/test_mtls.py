"""Workloads with client certificates through the real Envoy: which may call what, and who is believed about whom."""

from __future__ import annotations

import base64
import hmac
import json
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from tidegate.envoy.bootstrap.address import TYPE

from tests.e2e.certificates import Authority, Certificates
from tests.e2e.stack import Gate, running_gate
from tests.e2e.upstream import Upstream, chat, json_answer

DOMAIN = "spiffe://prod.example.com"
SECRET = b"a-shared-secret-of-the-tests-that-is-long-enough"

POLICY = """
version: 1
platform:
  identity:
    shared_secrets:
      - {name: app, secret_file: app.secret, claims: {defaults: {tenant: acme, tier: free, roles: [small]}}}
    workloads:
      - {id: "spiffe://prod.example.com/batch", tenant: acme, tier: free, roles: [small]}
      - {id: "spiffe://prod.example.com/web/**", subject: web, tenant: acme, tier: free, roles: [all],
         endpoints: [chat]}
    xfcc_from: ["spiffe://prod.example.com/proxy"]
tiers: {free: {}, premium: {}, metered: {}}
tenants:
  acme:
    grants:
      - {role: small, endpoints: [chat], models: [small]}
      - {role: all, endpoints: "*"}
  beta: {}
endpoints:
  chat:
    owner: acme
    match: {hosts: ["*"], path: /v1/chat/completions, methods: [POST]}
    model: {from: body.model, allowed: {free: [small, large]}}
  predict:
    owner: acme
    match: {hosts: ["*"], path: "/predict/**", methods: [GET]}
"""


@dataclass
class Mesh:
    gate: Gate
    certificates: dict[str, Certificates]

    def call(
        self, who: str, model: str = "small", path: str = "/v1/chat/completions", **headers: str
    ) -> tuple[httpx.Response, list[Any]]:
        """One request with the certificate of `who`, "" for none."""
        context = ssl.create_default_context(cafile=str(self.certificates["server"].ca))
        if who:
            context.load_cert_chain(self.certificates[who].cert, self.certificates[who].key)
        name = self.gate.script(json_answer(chat("hello")))
        fields = {"x-script": name, **{key.replace("_", "-"): value for key, value in headers.items()}}
        base = f"https://127.0.0.1:{self.gate.port}"
        with httpx.Client(base_url=base, verify=context, timeout=20, trust_env=False) as client:
            if path.startswith("/predict"):
                answer = client.get(path, headers=fields)
            else:
                answer = client.post(path, headers=fields, json={"model": model})
        return answer, self.gate.seen(name)

    def thumbprint(self, who: str) -> str:
        found = x509.load_pem_x509_certificate(self.certificates[who].cert.read_bytes())
        return b64(found.fingerprint(hashes.SHA256()))


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Mesh]:
    directory: Path = tmp_path_factory.mktemp("mesh")
    authority = Authority()
    certificates = {"server": authority.issue(directory / "server")}
    for name, uris in {
        "batch": [f"{DOMAIN}/batch"],
        "web": [f"{DOMAIN}/web/7"],
        "proxy": [f"{DOMAIN}/proxy"],
        "unnamed": [f"{DOMAIN}/unnamed"],
        "foreign": ["spiffe://other.example.com/batch"],
        "two": [f"{DOMAIN}/batch", f"{DOMAIN}/web/7"],
    }.items():
        certificates[name] = authority.issue(directory / name, *uris)
    server = certificates["server"]

    def tls(document: dict[str, Any]) -> None:
        pair = {"certificate_chain": {"filename": str(server.cert)}, "private_key": {"filename": str(server.key)}}
        context = {
            "@type": f"{TYPE}extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "require_client_certificate": False,
            "common_tls_context": {
                "tls_certificates": [pair],
                "validation_context": {"trusted_ca": {"filename": str(server.ca)}},
            },
        }
        chain = document["static_resources"]["listeners"][0]["filter_chains"][0]
        chain["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": context}

    (directory / "app.secret").write_bytes(SECRET)
    with running_gate(directory, upstream, policy=POLICY, tweak=tls) as gate:
        yield Mesh(gate, certificates)


def test_a_workload_calls_the_models_that_the_policy_names(mesh: Mesh) -> None:
    answer, (seen,) = mesh.call("batch", "small")
    assert answer.status_code == 200
    assert seen.values("x-tidegate-subject") == [f"{DOMAIN}/batch"]
    answer, arrived = mesh.call("batch", "large")
    assert (answer.status_code, arrived) == (403, [])
    answer, (seen,) = mesh.call("web", "large")
    assert answer.status_code == 200
    assert seen.values("x-tidegate-subject") == ["web"]


def test_a_workload_keeps_to_its_endpoints(mesh: Mesh) -> None:
    answer, arrived = mesh.call("web", path="/predict/x")
    assert (answer.status_code, arrived) == (403, [])


@pytest.mark.parametrize(("who", "status"), [("", 401), ("foreign", 401), ("two", 401), ("unnamed", 403)])
def test_who_is_not_named_calls_nothing(who: str, status: int, mesh: Mesh) -> None:
    answer, arrived = mesh.call(who)
    assert (answer.status_code, arrived) == (status, [])


def test_a_known_proxy_is_believed_and_nobody_else(mesh: Mesh) -> None:
    said = f"By={DOMAIN}/edge;Hash=00;URI={DOMAIN}/web/9"
    answer, (seen,) = mesh.call("proxy", "large", x_forwarded_client_cert=said)
    assert answer.status_code == 200
    assert seen.values("x-tidegate-subject") == ["web"]
    assert "x-forwarded-client-cert" not in seen.names
    answer, arrived = mesh.call("batch", "large", x_forwarded_client_cert=said)
    assert (answer.status_code, arrived) == (403, [])  # it is batch, whatever it says
    for who, status in (("", 401), ("foreign", 401), ("unnamed", 403)):
        answer, arrived = mesh.call(who, x_forwarded_client_cert=said)
        assert (answer.status_code, arrived) == (status, [])
    answer, arrived = mesh.call("proxy")
    assert (answer.status_code, arrived) == (401, [])  # a proxy is nobody's caller itself


def token(**claims: Any) -> str:
    parts = [{"alg": "HS256"}, {"sub": "bob", "exp": time.time() + 60} | claims]
    text = ".".join(b64(json.dumps(part).encode()) for part in parts)
    return f"Bearer {text}.{b64(hmac.digest(SECRET, text.encode(), 'sha256'))}"


def test_a_bound_token_is_good_over_its_owners_connection_only(mesh: Mesh) -> None:
    bound = token(cnf={"x5t#S256": mesh.thumbprint("batch")})
    answer, (seen,) = mesh.call("batch", authorization=bound)
    assert answer.status_code == 200
    assert seen.values("x-tidegate-subject") == ["bob"]
    for thief in ("web", "unnamed", "two", ""):
        answer, arrived = mesh.call(thief, authorization=bound)
        assert (answer.status_code, arrived) == (401, []), thief


def test_a_token_bound_to_a_dpop_key_is_refused_while_its_proof_cannot_be_checked(mesh: Mesh) -> None:
    bound = token(cnf={"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"})
    for headers in ({"authorization": bound}, {"authorization": bound.replace("Bearer", "DPoP"), "dpop": "e30.e30.x"}):
        answer, arrived = mesh.call("batch" if "dpop" not in headers else "", **headers)
        assert (answer.status_code, arrived) == (401, [])
