"""Through the real Envoy: denies and conditions decide, and what `policy explain` foretells is what a client gets."""

from __future__ import annotations

import hmac
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tidegate.cli.policy import app
from typer.testing import CliRunner

from tests.e2e.stack import Gate, running_gate
from tests.e2e.upstream import Upstream, chat, json_answer

SECRET = b"a-shared-secret-of-the-tests-that-is-long-enough"
HOST = "127.0.0.1"
POLICY = """
version: 1
platform:
  identity:
    shared_secrets:
      - name: app
        secret_file: app.secret
        claims: {roles: roles, defaults: {tenant: acme, tier: free}}
tiers: {free: {}}
tenants:
  acme:
    grants:
      - {role: analyst, endpoints: "*"}
      - {role: local, endpoints: [predict], when: 'claims.region == "eu" && request.path.startsWith("/predict/")'}
    denies:
      - {role: intern, endpoints: [secret]}
      - {endpoints: [secret], when: 'has(claims.region) && claims.region == "us"'}
endpoints:
  predict: {owner: acme, match: {hosts: "*", path: "/predict/**", methods: [GET]}}
  secret: {owner: acme, match: {hosts: "*", path: "/secret/**", methods: [GET]}}
"""


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Gate]:
    directory = tmp_path_factory.mktemp("explained")
    (directory / "app.secret").write_bytes(SECRET)
    with running_gate(directory, upstream, policy=POLICY) as running:
        yield running


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("policy")
    (directory / "app.secret").write_bytes(SECRET)
    (directory / "policy.yaml").write_text(POLICY)
    return directory / "policy.yaml"


def token(**claims: Any) -> str:
    parts = [{"alg": "HS256", "typ": "JWT"}, {"sub": "bob", "type": "access", "exp": time.time() + 60} | claims]
    text = ".".join(_b64(json.dumps(part).encode()) for part in parts)
    return f"{text}.{_b64(hmac.digest(SECRET, text.encode(), 'sha256'))}"


def _b64(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


@pytest.mark.parametrize(
    ("claims", "path", "status"),
    [
        ({"roles": ["analyst"]}, "/predict/x", 200),
        ({"roles": ["analyst"]}, "/secret/x", 200),
        ({"roles": ["analyst", "intern"]}, "/secret/x", 403),
        ({"roles": ["analyst", "intern"]}, "/predict/x", 200),
        ({"roles": ["analyst"], "region": "us"}, "/secret/x", 403),
        ({"roles": ["analyst"], "region": "eu"}, "/secret/x", 200),
        ({"roles": ["local"], "region": "eu"}, "/predict/x", 200),
        ({"roles": ["local"], "region": "us"}, "/predict/x", 403),
        ({"roles": ["local"]}, "/predict/x", 403),
        ({"roles": ["local"], "region": 3}, "/predict/x", 403),
        ({"roles": ["local"], "region": "eu", "n": 2**70}, "/predict/x", 403),
        ({"roles": ["analyst"]}, "/nowhere", 404),
        ({"roles": []}, "/predict/x", 403),
    ],
    ids=range(13),
)
def test_what_is_foretold_is_what_envoy_answers(
    claims: dict[str, Any], path: str, status: int, gate: Gate, policy: Path
) -> None:
    credential = f"Bearer {token(**claims)}"
    name = gate.script(json_answer(chat("hello")))
    answer = gate.get(name, path, key=None, headers={"authorization": credential})
    assert answer.status_code == status
    assert len(gate.seen(name)) == (status == 200)
    file = policy.parent / "request.json"
    sent = {"method": "GET", "host": HOST, "path": path, "headers": {"authorization": credential}}
    file.write_text(json.dumps({"request": sent}))
    told = CliRunner().invoke(app, ["explain", str(policy), "--request", str(file), "--json"])
    assert told.exit_code == 0, told.stderr
    assert json.loads(told.stdout)["verdict"].get("status", 200) == status
    for secret in ("claims.", "denies", "analyst", "intern", "eu"):
        assert status == 200 or secret not in answer.text
