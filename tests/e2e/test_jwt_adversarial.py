"""Every token of tests/cases/jwt_adversarial.yaml through one real Envoy: refused tersely, and no model sees one.

Each set of changes that a case makes to its issuer is an issuer of its own in the policy, so that one gate serves all.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from http.client import HTTPResponse, RemoteDisconnected
from pathlib import Path
from typing import Any

import pytest
import yaml
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, ResponseReceived, StreamReset
from h2.exceptions import ProtocolError
from tidegate.errors import PolicyError
from tidegate.identity import refusals
from tidegate.policy.load import load_policy

from tests.e2e.stack import Gate, running_gate, until
from tests.e2e.upstream import Upstream, chat, json_answer
from tests.identity import forge
from tests.identity.mutations import forged

CASES: list[dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parents[1] / "cases" / "jwt_adversarial.yaml").read_text(encoding="utf-8")
)
REST = """
tiers: {free: {}, premium: {}}
tenants: {acme: {grants: [{role: analyst, endpoints: "*"}]}}
endpoints:
  chat: {owner: acme, match: {hosts: ["*"], path: "/v1/**", methods: [GET]}}
  predict: {owner: acme, match: {hosts: ["*"], path: "/predict/**", methods: [GET]}}
"""
PATHS = ("/v1/models", "/predict/x")
SAID = {
    refusals.MISSING.message,
    refusals.invalid("").message,
    refusals.expired("").message,
    refusals.malformed("").message,
    refusals.unmapped("").message,
    "A header value is not valid.",
    "A header that must appear once was repeated.",
    "You may not use this endpoint in this way.",
}
CHALLENGES = {
    dict(deny.headers)["www-authenticate"] for deny in (refusals.MISSING, refusals.invalid(""), refusals.expired(""))
}


def variant(case: Mapping[str, Any]) -> str:
    """The `iss` of the issuer that a case's changes make."""
    changes = json.dumps(case.get("issuer", {}), sort_keys=True)
    if changes == "{}":
        return forge.ISSUER
    return f"https://id.example.com/{forge.b64(changes.encode())[:48]}"


def entry(case: Mapping[str, Any], directory: Path, number: int) -> dict[str, Any]:
    """The issuer of a case as a policy writes it; its keys go to a file."""
    changes = dict(case.get("issuer", {}))
    members = changes.pop("members", {})
    named = changes.pop("keys", ["rsa", "ec", "ec384", "ec521"])
    keys = [forge.jwk_of(name, **{"kid": name, **members}) for name in named]
    (directory / f"keys-{number}.json").write_text(json.dumps({"keys": keys}))
    algorithms = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"]
    leeway = {"leeway": f"{changes.pop('leeway')}s"} if "leeway" in changes else {}
    return {
        "name": f"issuer-{number}",
        "issuer": variant(case),
        "audiences": ["models", "models-eu"],
        "algorithms": algorithms,
        "jwks_file": f"keys-{number}.json",
        "claims": {"tenant": "org.id", "tier": "plan", "roles": "roles"},
        **leeway,
        **changes,
    }


def policy_of(entries: list[dict[str, Any]]) -> str:
    identity = {"platform": {"identity": {"issuers": entries}}}
    return f"version: 1\n{yaml.safe_dump(identity)}{REST}"


EXPRESSIBLE = [case for case in CASES if case.get("policy") != "refused"]


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Gate]:
    directory = tmp_path_factory.mktemp("adversarial")
    variants = {variant(case): case for case in EXPRESSIBLE}
    entries = [entry(case, directory, number) for number, case in enumerate(variants.values())]
    with running_gate(directory, upstream, policy=policy_of(entries)) as running:
        yield running


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.get("policy") == "refused"], ids=lambda case: case["name"]
)
def test_an_issuer_that_would_weaken_the_rules_is_in_no_policy(case: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(policy_of([entry(case, tmp_path, 0)]))
    with pytest.raises(PolicyError, match="issuers"):
        load_policy(tmp_path / "policy.yaml")


def over_http1(gate: Gate, target: str, lines: list[bytes]) -> tuple[int, dict[str, str], bytes]:
    """(status, headers, body); status 0 when Envoy closed without an answer."""
    head = [f"GET {target} HTTP/1.1".encode(), b"host: x", b"connection: close", *lines]
    with socket.create_connection(("127.0.0.1", gate.port), timeout=20) as connection:
        connection.sendall(b"\r\n".join(head) + b"\r\n\r\n")
        response = HTTPResponse(connection)
        try:
            response.begin()
        except (RemoteDisconnected, ConnectionError):
            return 0, {}, b""
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()


def over_http2(gate: Gate, target: str, value: bytes, script: str) -> int:
    """The status of a request whose `authorization` no line of HTTP/1 can hold; 0 for a reset stream."""
    loose = H2Configuration(header_encoding=None, validate_outbound_headers=False, normalize_outbound_headers=False)
    session = H2Connection(loose)
    session.initiate_connection()
    pseudo = [(b":method", b"GET"), (b":path", target.encode()), (b":scheme", b"http"), (b":authority", b"x")]
    with socket.create_connection(("127.0.0.1", gate.port), timeout=20) as connection:
        with suppress(ProtocolError):
            session.send_headers(1, [*pseudo, (b"authorization", value), (b"x-script", script.encode())], True)
        connection.sendall(session.data_to_send())
        while data := connection.recv(65536):
            for event in session.receive_data(data):
                if isinstance(event, ResponseReceived):
                    return int(dict(event.headers)[b":status"])
                if isinstance(event, StreamReset | ConnectionTerminated):
                    return 0
            connection.sendall(session.data_to_send())
    return 0


def sent(gate: Gate, case: Mapping[str, Any], target: str, script: str) -> tuple[int, dict[str, str], bytes]:
    token = forged(case, time.time(), variant(case))
    lines = case.get("fields", ["authorization: Bearer {token}"])
    made = [line.replace("{token}", token).encode("utf-8", "surrogatepass") for line in lines]
    if case.get("wire") == "h2":
        (line,) = made
        return over_http2(gate, target, line.partition(b": ")[2], script), {}, b""
    where = target + case.get("target", "").format(token=token)
    return over_http1(gate, where, [*made, f"x-script: {script}".encode()])


def fault(case: Mapping[str, Any], answer: tuple[int, dict[str, str], bytes], path: str, seen: int) -> str:
    """What is wrong with the answer to a case, "" for nothing."""
    status, headers, body = answer
    if case.get("wire", case["expect"]) == "ok":
        return "" if (status, seen) == (200, 1) else f"{status}, seen {seen}, {body!r}"
    if seen:
        return "the model saw it"
    if case.get("wire") == "h2":
        return "" if status in (0, 400) else f"{status}"
    if status != case.get("status", 401) and not (status == 400 and case["expect"] == "base64"):
        return f"{status}, {body!r}"
    document = json.loads(body)
    if path.startswith("/v1/"):
        shaped = headers["content-type"] == "application/json" and document.keys() == {"error"}
        message = document["error"]["message"]
    else:
        shaped = headers["content-type"] == "application/problem+json" and document["status"] == status
        message = document["detail"]
    if not shaped or message not in SAID:
        return f"{body!r}"
    if status == 401 and headers.get("www-authenticate") not in CHALLENGES:
        return f"{headers}"
    return ""


def test_every_token_is_refused_in_the_callers_format_and_no_model_sees_it(tokens: Gate) -> None:
    faults = {}
    tried = [case for case in EXPRESSIBLE if not case.get("tight")]
    for number, case in enumerate(tried):
        path = PATHS[number % 2]
        script = tokens.script(json_answer(chat("hello")))
        answer = sent(tokens, case, path, script)
        if found := fault(case, answer, path, len(tokens.seen(script))):
            faults[case["name"]] = found
    assert faults == {}
    assert len(tried) > 400


def test_a_good_token_passes_over_http2_where_the_others_are_refused(tokens: Gate) -> None:
    script = tokens.script(json_answer(chat("hello")))
    value = f"Bearer {forged({}, time.time())}".encode()
    assert over_http2(tokens, "/predict/x", value, script) == 200
    assert len(tokens.seen(script)) == 1


def test_no_token_is_in_a_log_and_no_verdict_was_an_accident(tokens: Gate) -> None:
    """`unexpected_…` is how an exception that rule 10 caught is written down: a refusal, and a fault of ours."""
    script = tokens.script(json_answer(chat("hello")))
    token = forged({}, time.time())
    over_http1(tokens, "/predict/x", [f"authorization: Bearer {token}x".encode(), f"x-script: {script}".encode()])
    until(lambda: '"signature"' in tokens.workers[0].log.read_text() or '"base64"' in tokens.workers[0].log.read_text())
    for log in (tokens.workers[0].log, tokens.envoy.log):
        text = log.read_text(errors="replace")
        assert "unexpected_" not in text
        assert token[:60] not in text
