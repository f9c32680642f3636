"""Every token of tests/cases/jwt_adversarial.yaml through one real Envoy: refused tersely, and no model sees one.

Each set of changes that a case makes to its issuer is an issuer of its own in the policy, so that one gate serves all.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from tidegate.errors import PolicyError
from tidegate.identity import refusals
from tidegate.policy.load import load_policy
from tidegate.policy.words import ALGORITHMS

from tests.e2e.answered import Answered, over_http1, shape_fault
from tests.e2e.stack import Gate, running_gate, until
from tests.e2e.upstream import Upstream, chat, json_answer
from tests.e2e.wire import http2
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

DPOP = {dict(refusals.under_dpop(refusals.invalid(""), ALGORITHMS).headers)["www-authenticate"]}


def variant(case: Mapping[str, Any]) -> str:
    """The `iss` of the issuer that a case's changes make."""
    changes = json.dumps(case.get("issuer", {}), sort_keys=True)
    if changes == "{}":
        return forge.ISSUER
    return f"https://id.example.com/{hashlib.sha256(changes.encode()).hexdigest()}"


def entry(case: Mapping[str, Any], directory: Path, number: int) -> dict[str, Any]:
    """The issuer of a case as a policy writes it; its keys go to a file."""
    changes = dict(case.get("issuer", {}))
    members = changes.pop("members", {})
    named = changes.pop("keys", ["rsa", "ec", "ec384", "ec521"])
    keys = [forge.jwk_of(name, **{"kid": name, **members}) for name in named]
    (directory / f"keys-{number}.json").write_text(json.dumps({"keys": keys}))
    algorithms = [algorithm for algorithm in ALGORITHMS if not algorithm.startswith("Ed")]
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


def _fields(authorization: bytes, target: str, script: str) -> list[tuple[str, str]]:
    pseudo = [(":method", "GET"), (":path", target), (":scheme", "http"), (":authority", "x")]
    return [*pseudo, ("authorization", authorization.decode("latin-1")), ("x-script", script)]


def sent(gate: Gate, case: Mapping[str, Any], target: str, script: str) -> Answered:
    token = forged(case, time.time(), variant(case))
    lines = case.get("fields", ["authorization: Bearer {token}"])
    made = [line.replace("{token}", token).encode("utf-8", "surrogatepass") for line in lines]
    if case.get("wire") == "h2":
        (line,) = made
        return Answered(http2(gate.port, _fields(line.partition(b": ")[2], target, script)), {}, b"")
    where = target + case.get("target", "").format(token=token)
    return over_http1(gate, where, [*made, f"x-script: {script}".encode()])


def fault(case: Mapping[str, Any], answer: Answered, path: str, seen: int) -> str:
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
    if found := shape_fault(answer, path, SAID):
        return found
    challenges = DPOP if case["expect"] == "dpop_unbound" else CHALLENGES
    if status == 401 and headers.get("www-authenticate") not in challenges:
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
    assert http2(tokens.port, _fields(value, "/predict/x", script)) == 200
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
