"""Context tokens through the real Envoy, read by a pod as the example in clients/python/examples reads them."""

from __future__ import annotations

import importlib.util
import json
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from jose.exceptions import JWTError
from tidegate.demo.stack import free_ports
from tidegate.published import JWKS_PATH

from tests.e2e.keys import POLICY
from tests.e2e.stack import Gate, running_gate, until
from tests.e2e.upstream import Upstream, chat, json_answer
from tests.policy.test_signing_keys import pem

HEADER = "x-tidegate-identity"
ISSUER = "https://gate.example.com"
EXAMPLE = Path(__file__).resolve().parents[2] / "clients/python/examples/pod_identity.py"


def signing(keys: str, more: str = "") -> str:
    token = f"\n  context_token: {{issuer: {ISSUER}, keys: [{keys}]{more}}}\n  floor:"
    return POLICY.replace("\n  floor:", token, 1)


def pod_identity(url: str, **given: Any) -> Any:
    spec = importlib.util.spec_from_file_location("pod_identity", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.PodIdentity(url, **{"issuer": ISSUER, "audience": "predict", "pause": 0.0, **given})


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("signed")
    (made / "a.pem").write_text(pem("P-256"))
    (made / "b.pem").write_text(pem("RSA"))
    return Path(made)


@pytest.fixture(scope="module")
def signed(asking: dict[str, bool], directory: Path, upstream: Upstream) -> Iterator[Gate]:
    """Two workers."""
    with running_gate(directory, upstream, policy=signing("{file: a.pem}"), workers=2, **asking) as running:
        yield running


def jwks_url(gate: Gate, worker: int = 0) -> str:
    return f"http://127.0.0.1:{gate.metrics[worker]}{JWKS_PATH}"


def token_of(gate: Gate, path: str = "/predict/x", **options: Any) -> str:
    name = gate.script(json_answer(chat("hello")))
    assert gate.get(name, path, **options).status_code == 200
    (seen,) = gate.seen(name)
    (token,) = seen.values(HEADER)
    return token


def test_a_pod_learns_who_called_and_can_prove_it(signed: Gate) -> None:
    for worker in range(2):
        claims = pod_identity(jwks_url(signed, worker)).caller(token_of(signed))
        assert {name: claims[name] for name in ("sub", "tenant", "tier", "endpoint", "roles", "method")} == {
            "sub": "free", "tenant": "acme", "tier": "free", "endpoint": "predict", "roles": ["analyst"],
            "method": "api_key",
        }  # fmt: skip
        assert 0 < claims["exp"] - time.time() <= 60
        assert signed.keys["free"] not in str(claims)


def test_all_workers_publish_the_same_keys(signed: Gate) -> None:
    first, second = (httpx.get(jwks_url(signed, worker)) for worker in range(2))
    assert first.json() == second.json()
    assert first.headers["cache-control"] == "public, max-age=300"
    assert "d" not in first.json()["keys"][0]


@pytest.mark.parametrize("name", [HEADER, "X-Tidegate-Identity"])
def test_a_client_cannot_bring_its_own(signed: Gate, gate: Gate, name: str) -> None:
    forged = "eyJhbGciOiJub25lIn0.e30."
    assert token_of(signed, headers=[(name, forged), (name, forged)]) != forged
    script = gate.script(json_answer(chat("hello")))  # the feature is off here
    assert gate.get(script, headers={name: forged}).status_code == 200
    assert HEADER not in gate.seen(script)[0].names


def test_what_anybody_else_made_of_a_token_is_no_identity(signed: Gate) -> None:
    pod, token = pod_identity(jwks_url(signed)), token_of(signed)
    assert pod.caller(token)
    head, body, signature = token.split(".")
    claims = json.loads(urlsafe_b64decode(body + "=="))
    other = urlsafe_b64encode(json.dumps(claims | {"tenant": "beta"}).encode()).rstrip(b"=").decode()
    none = urlsafe_b64encode(b'{"alg":"none","typ":"tidegate-context+jwt"}').rstrip(b"=").decode()
    for bad in (None, "", f"{head}.{other}.{signature}", f"{none}.{body}.", f"{head}.{body}.", signed.keys["free"]):
        with pytest.raises(JWTError):
            pod.caller(bad)
    with pytest.raises(JWTError):  # a token of the same gate for another endpoint
        pod.caller(token_of(signed, "/files/x"))
    for changed in ({"audience": "files"}, {"issuer": "https://other.example"}):
        with pytest.raises(JWTError):
            pod_identity(jwks_url(signed), **changed).caller(token)


def test_keys_change_while_traffic_runs_and_no_pod_meets_one_that_it_cannot_know(
    tmp_path: Path, upstream: Upstream
) -> None:
    """The steps that the policy's reference gives: published, then signing, then gone."""
    for name, kind in (("a", "P-256"), ("b", "P-384")):
        (tmp_path / f"{name}.pem").write_text(pem(kind))
    a, b, soon = "{file: a.pem}", "{file: b.pem}", ", lifetime: 6s, reuse: 0s"
    with running_gate(tmp_path, upstream, policy=signing(a, soon)) as gate:
        pod = pod_identity(jwks_url(gate), age=0.2)
        algorithms = []
        for keys in (a, f"{a}, {b}", f"{b}, {a}", b):
            (tmp_path / "policy.yaml").write_text(signing(keys, soon))
            until(lambda keys=keys: len(httpx.get(jwks_url(gate)).json()["keys"]) == keys.count("file"))
            expected = keys[7]
            until(lambda expected=expected: _algorithm(token_of(gate)) == {"a": "ES256", "b": "ES384"}[expected])
            for _ in range(5):
                token = token_of(gate)
                assert pod.caller(token)["sub"] == "free"
                algorithms.append(_algorithm(token))
        assert set(algorithms) == {"ES256", "ES384"}
        last = token_of(gate)
        (tmp_path / "policy.yaml").write_text(signing("{file: none.pem}"))  # a bad one changes nothing
        until(lambda: "none.pem" in gate.workers[0].log.read_text())
        assert _algorithm(token_of(gate)) == _algorithm(last) == "ES384"


def test_a_request_may_have_one_that_names_it(tmp_path: Path, upstream: Upstream) -> None:
    (tmp_path / "a.pem").write_text(pem("P-256"))
    with running_gate(tmp_path, upstream, policy=signing("{file: a.pem}", ", reuse: 0s")) as gate:
        name = gate.script(json_answer(chat("hello")))
        answers = [gate.get(name) for _ in range(2)]
        tokens = [seen.values(HEADER)[0] for seen in gate.seen(name)]
        claims = [pod_identity(jwks_url(gate)).caller(token) for token in tokens]
        assert [one["request_id"] for one in claims] == [answer.headers["x-request-id"] for answer in answers]


def test_a_pod_that_cannot_reach_the_keys_trusts_nobody(signed: Gate) -> None:
    (port,) = free_ports(1)
    with pytest.raises(OSError, match="refused"):
        pod_identity(f"http://127.0.0.1:{port}{JWKS_PATH}").caller(token_of(signed))


def _algorithm(token: str) -> str:
    found: str = json.loads(urlsafe_b64decode(token.partition(".")[0] + "=="))["alg"]
    return found
