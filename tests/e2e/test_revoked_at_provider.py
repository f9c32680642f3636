"""A response that runs ends when its opaque token is revoked at the provider, which is a real one, and nowhere else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.stack import Gate, running_gate
from tests.e2e.test_revocation import FIRST, WITHIN, errors_of, pass_time, stream, within
from tests.e2e.upstream import Hold, Upstream, chunked, delta, finish
from tests.idp.__main__ import CLIENT, SECRET
from tests.idp.provider import IdentityProvider, running_provider

POLICY = """
version: 1
platform:
  identity:
    introspection:
      name: opaque
      url: {issuer}/oauth/introspect
      client_id: {client}
      client_secret_file: client.secret
      cache: 1s
      issuer: {issuer}
      audiences: [models]
      claims: {{client: client_id, defaults: {{tenant: acme, tier: free, roles: [analyst]}}}}
  revocation: {{file: revoked.yaml, on_revocation: end_streams}}
tiers: {{free: {{}}}}
tenants:
  acme: {{grants: [{{role: analyst, endpoints: "*"}}]}}
rulesets:
  pii: [{{detect: [EMAIL], act: redact}}]
endpoints:
  read: {{owner: acme, match: {{hosts: ["*"], path: "/read/**", methods: [GET]}}, rulesets: [pii]}}
  unread: {{owner: acme, match: {{hosts: ["*"], path: "/unread/**", methods: [GET]}}}}
"""


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IdentityProvider]:
    with running_provider(tmp_path_factory.mktemp("idp")) as running:
        yield running


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream, provider: IdentityProvider) -> Iterator[Gate]:
    directory: Path = tmp_path_factory.mktemp("revoked")
    (directory / "client.secret").write_text(SECRET)
    (directory / "revoked.yaml").write_text("version: 1\nrevoked: []\n")
    policy = POLICY.format(issuer=provider.issuer, client=CLIENT)
    with running_gate(directory, upstream, policy=policy, workers=2) as running:
        yield running


@pytest.mark.parametrize("path", ["/read/x", "/unread/x"])
def test_what_runs_ends_when_the_provider_no_longer_knows_the_token(
    path: str, gate: Gate, provider: IdentityProvider
) -> None:
    def attempt() -> float:
        token, hold = provider.client_token(), Hold()
        answer = chunked([FIRST, hold, delta("late"), *finish()])
        told = stream(gate, path, {"authorization": f"Bearer {token}"}, answer, lambda: provider.revoke(token))
        hold.open()
        assert not told.broken
        assert "late" not in told.text
        assert errors_of(told.text) == ["credential_invalid"]
        return told.seconds

    within(attempt, WITHIN + 1.0)


def test_a_token_that_stands_is_asked_about_and_its_response_goes_on(gate: Gate, provider: IdentityProvider) -> None:
    token, hold = provider.client_token(), Hold()

    def then() -> None:
        pass_time(2.5)
        hold.open()

    since = time.monotonic()
    answer = chunked([FIRST, hold, delta("late"), *finish()])
    told = stream(gate, "/read/x", {"authorization": f"Bearer {token}"}, answer, then)
    assert "late" in told.text
    assert errors_of(told.text) == []
    assert time.monotonic() - since > 2.5


def test_a_provider_that_is_down_ends_nothing(gate: Gate, provider: IdentityProvider) -> None:
    token, hold = provider.client_token(), Hold()

    def then() -> None:
        provider.lie("broken")
        pass_time(2.5)
        hold.open()

    try:
        answer = chunked([FIRST, hold, delta("late"), *finish()])
        told = stream(gate, "/read/x", {"authorization": f"Bearer {token}"}, answer, then)
    finally:
        provider.lie()
    assert "late" in told.text
    assert errors_of(told.text) == []
    for log in (worker.log.read_text() for worker in gate.workers):
        assert token not in log
