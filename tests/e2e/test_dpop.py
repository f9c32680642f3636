"""Proofs of possession (RFC 9449) through a real Envoy: every case of the data file, replicas, nonces, TLS."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from tidegate.demo.redis_server import RedisServer
from tidegate.envoy.bootstrap.address import TYPE
from tidegate.identity import refusals

from tests.e2e.answered import Answered, over_http1, shape_fault
from tests.e2e.certificates import make_certificates
from tests.e2e.keys import PEPPER
from tests.e2e.stack import Gate, running_gate, until
from tests.e2e.upstream import Upstream, chat, json_answer
from tests.e2e.wire import http2
from tests.identity import forge
from tests.identity.proofs import CASES, Made, made

REST = """
tiers: {free: {}, premium: {}}
tenants: {acme: {grants: [{role: analyst, endpoints: "*"}]}}
endpoints:
  predict: {owner: acme, match: {hosts: ["*"], path: "/predict/**", methods: [GET, POST]}}
"""
SAID = {
    refusals.MISSING.message,
    refusals.invalid("").message,
    refusals.expired("").message,
    refusals.malformed("").message,
    refusals.unproved("", ()).message,
    refusals.nonce_required("", "", ()).message,
    "A header that must appear once was repeated.",
}


def policy(directory: Path, dpop: str = "optional", **terms: Any) -> str:
    issuer = {
        "name": "corp",
        "issuer": forge.ISSUER,
        "audiences": ["models"],
        "algorithms": ["RS256"],
        "jwks_file": "keys.json",
        "claims": {"tenant": "org.id", "tier": "plan", "roles": "roles"},
        "dpop": dpop,
    }
    (directory / "keys.json").write_text(json.dumps({"keys": [forge.jwk_of("rsa", "rsa")]}))
    identity = {"issuers": [issuer], "dpop": terms}
    return f"version: 1\n{yaml.safe_dump({'platform': {'identity': identity}})}{REST}"


@pytest.fixture(scope="module")
def bound(asking: dict[str, bool], tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Gate]:
    directory = tmp_path_factory.mktemp("dpop")
    with running_gate(directory, upstream, policy=policy(directory), **asking) as running:
        yield running


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Gate]:
    """Bindings are required, and so are nonces."""
    directory = tmp_path_factory.mktemp("nonces")
    with running_gate(directory, upstream, policy=policy(directory, "required", nonce=True)) as running:
        yield running


def send(gate: Gate, asked: Made, script: str) -> Answered:
    lines = [line.encode("utf-8", "surrogatepass") for line in (*asked.lines, f"x-script: {script}")]
    return over_http1(gate, asked.target, lines, method=asked.method, host=asked.host)


def call(gate: Gate, case: Mapping[str, Any], asked: Made | None = None) -> tuple[Answered, int]:
    """The answer, and how many requests reached the model."""
    script = gate.script(json_answer(chat("hello")))
    answer = send(gate, asked or made(case, time.time(), pepper=PEPPER), script)
    return answer, len(gate.seen(script))


def fault(case: Mapping[str, Any], answer: Answered, seen: int) -> str:
    """What is wrong with the answer to a case, "" for nothing."""
    if case["expect"] == "ok":
        return "" if (answer.status, seen) == (200, 1) else f"{answer}, seen {seen}"
    if seen:
        return "the model saw it"
    if answer.status != case.get("status", 401):
        return f"{answer}"
    error = case.get("error", "invalid_dpop_proof")
    challenge = answer.headers.get("www-authenticate", "")
    if answer.status == 401 and error and not challenge.startswith('DPoP realm="tidegate", ' + f'error="{error}"'):
        return f"{challenge}"
    if ("dpop-nonce" in answer.headers) is not (error == "use_dpop_nonce"):
        return f"{answer.headers}"
    return shape_fault(answer, case.get("target", "/predict/x"), SAID)


@pytest.mark.parametrize("nonce", [False, True])
def test_every_case(nonce: bool, bound: Gate, strict: Gate) -> None:
    faults = {}
    tried = [case for case in CASES if not case.get("tight") and case.get("nonce", False) is nonce]
    for case in tried:
        answer, seen = call(strict if nonce else bound, case)
        if found := fault(case, answer, seen):
            faults[case["name"]] = found
    assert faults == {}
    assert len(tried) > (10 if nonce else 150)


def test_the_model_sees_neither_token_nor_proof(bound: Gate) -> None:
    script = bound.script(json_answer(chat("hello")))
    asked = made({}, time.time(), pepper=PEPPER)
    assert send(bound, asked, script).status == 200
    (seen,) = bound.seen(script)
    assert not {"authorization", "dpop"} & seen.names
    assert not [line for line in asked.lines if line.split(" ")[-1] in str(seen)]
    for log in (bound.workers[0].log, bound.envoy.log):
        text = log.read_text(errors="replace")
        assert not [line for line in asked.lines if line.split(" ")[-1] in text]


def test_a_proof_that_nobody_needs_does_not_reach_the_model_either(bound: Gate) -> None:
    case = {"cnf": None, "lines": ["authorization: Bearer {token}", "dpop: {proof}"]}
    script = bound.script(json_answer(chat("hello")))
    assert send(bound, made(case, time.time(), pepper=PEPPER), script).status == 200
    (seen,) = bound.seen(script)
    assert "dpop" not in seen.names


def test_a_proof_is_good_once(bound: Gate) -> None:
    asked = made({}, time.time(), pepper=PEPPER)
    assert call(bound, {}, asked)[0].status == 200
    answer, seen = call(bound, {}, asked)
    assert (answer.status, seen) == (401, 0)
    assert 'error="invalid_dpop_proof"' in answer.headers["www-authenticate"]


def test_a_client_that_repeats_the_nonce_it_is_given_gets_in(strict: Gate) -> None:
    answer, _ = call(strict, {})
    assert (answer.status, answer.headers["cache-control"]) == (401, "no-store")
    answer, seen = call(strict, {"claims": {"nonce": answer.headers["dpop-nonce"]}})
    assert (answer.status, seen) == (200, 1)


def test_where_a_binding_is_required_a_bearer_token_opens_nothing_and_is_told_why(strict: Gate) -> None:
    answer, seen = call(strict, {"cnf": None, "lines": ["authorization: Bearer {token}"]})
    assert (answer.status, seen) == (401, 0)
    answer, _ = call(strict, {"lines": []})
    assert answer.headers["www-authenticate"].startswith('Bearer realm="tidegate", DPoP algs="RS256 ')


def test_whatever_the_client_says_of_the_scheme_the_connection_counts(bound: Gate) -> None:
    """A proof for https is none for a connection without TLS, whatever the client forwards."""
    for line in ("x-forwarded-proto: https", "x-forwarded-scheme: https", "forwarded: proto=https"):
        case = {"claims": {"htu": "https://{authority}/predict/x"}}
        asked = made(case, time.time(), pepper=PEPPER)
        answer, seen = call(bound, {}, asked._replace(lines=[*asked.lines, line]))
        assert (answer.status, seen) == (401, 0), line
        asked = made({}, time.time(), pepper=PEPPER)
        assert call(bound, {}, asked._replace(lines=[*asked.lines, line]))[0].status == 200, line


def test_a_scheme_that_http2_names_is_not_the_clients_to_choose(bound: Gate) -> None:
    statuses = {}
    for said in ("http", "https"):
        for named in ("http", "https"):
            case = {"claims": {"htu": named + "://{authority}/predict/x"}}
            asked = made(case, time.time(), pepper=PEPPER)
            script = bound.script(json_answer(chat("hello")))
            pseudo = [(":method", "GET"), (":path", "/predict/x"), (":scheme", said), (":authority", "x")]
            lines = [(name, value) for name, _, value in (line.partition(": ") for line in asked.lines)]
            statuses[said, named] = http2(bound.port, [*pseudo, *lines, ("x-script", script)])
    assert statuses == {(said, named): 200 if named == "http" else 401 for said, named in statuses}


def test_over_tls_the_proof_is_for_https(tmp_path: Path, upstream: Upstream) -> None:
    certificates = make_certificates(tmp_path / "server")

    def tls(document: dict[str, Any]) -> None:
        files = {"filename": str(certificates.cert)}, {"filename": str(certificates.key)}
        chain = {"certificate_chain": files[0], "private_key": files[1]}
        document["static_resources"]["listeners"][0]["filter_chains"][0]["transport_socket"] = {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": f"{TYPE}extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                "common_tls_context": {"tls_certificates": [chain]},
            },
        }

    with running_gate(tmp_path, upstream, policy=policy(tmp_path), tweak=tls) as gate:
        context = ssl.create_default_context(cafile=str(certificates.ca))
        base = f"https://127.0.0.1:{gate.port}"
        with httpx.Client(base_url=base, verify=context, timeout=20, trust_env=False) as client:
            statuses = []
            for scheme in ("https", "http"):
                case = {"claims": {"htu": scheme + "://{authority}/predict/x"}}
                asked = made(case, time.time(), pepper=PEPPER, host=f"127.0.0.1:{gate.port}")
                fields = [tuple(line.split(": ", 1)) for line in asked.lines]
                script = gate.script(json_answer(chat("hello")))
                statuses.append(client.get("/predict/x", headers=[*fields, ("x-script", script)]).status_code)
        assert statuses == [200, 401]


def test_replicas_share_what_was_used_and_without_their_store_nobody_passes(tmp_path: Path, upstream: Upstream) -> None:
    with RedisServer(tmp_path / "redis") as server:
        flags = {"store": server.url, "store-timeout": 1.0}
        with running_gate(tmp_path, upstream, policy=policy(tmp_path, "required"), workers=2, flags=flags) as gate:
            for _ in range(5):
                asked = made({}, time.time(), pepper=PEPPER)
                with ThreadPoolExecutor(8) as pool:
                    answers = list(pool.map(lambda _, asked=asked: call(gate, {}, asked), range(8)))
                assert sorted(answer.status for answer, _ in answers) == [200] + [401] * 7
                assert sum(seen for _, seen in answers) == 1
            deciding = [gate.metric("tidegate_decisions_total", worker=worker) for worker in range(2)]
            assert all(deciding)  # both were asked
            server.stop(kill=True)
            answer, seen = call(gate, {})
            assert (answer.status, seen) == (503, 0)
            assert "retry-after" in answer.headers
            server.start()
            until(lambda: call(gate, {})[0].status == 200)
