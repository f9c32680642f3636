"""Secrets that a policy names: where they come from, and that nothing tells what they are."""

from __future__ import annotations

from pathlib import Path

import pytest
from tidegate.errors import PolicyError
from tidegate.policy import Policy, PolicySource, load_policy
from tidegate.policy.compiled_identity import ClaimMap, Introspection
from tidegate.policy.secrets import read_secret

SECRET = "a-shared-secret-of-the-tests-that-is-64-bytes-long-0123456789-abc"
TEXT = """
version: 1
platform:
  identity:
    shared_secrets:
      - {name: app, secret_file: app.secret, algorithm: HS512, claims: {defaults: {tenant: acme, tier: free}}}
      - {name: lab, issuer: lab, audiences: [models], secret_env: LAB_SECRET, claims: {tenant: org, tier: plan}}
tiers: {free: {}}
tenants: {acme: {}}
"""


@pytest.fixture
def policy_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "app.secret").write_text(SECRET + "\n")
    monkeypatch.setenv("LAB_SECRET", SECRET[:32])
    (tmp_path / "policy.yaml").write_text(TEXT)
    return tmp_path / "policy.yaml"


def secrets(policy: Policy) -> list[bytes]:
    return [issuer.secret for issuer in policy.shared_secrets]


def test_a_secret_comes_from_a_file_or_from_the_environment(policy_file: Path) -> None:
    policy = load_policy(policy_file)
    assert secrets(policy) == [SECRET.encode(), SECRET[:32].encode()]
    assert policy.token_issuers == policy.shared_secrets
    app, lab = policy.shared_secrets
    assert (app.issuer, app.audiences, app.algorithm, app.claims.default_tier) == ("", (), "HS512", "free")
    assert (lab.issuer, lab.audiences, lab.algorithm, lab.claims.tenant) == ("lab", ("models",), "HS256", ("org",))


def test_nothing_that_is_printed_or_published_depends_on_the_secret(policy_file: Path) -> None:
    policy = load_policy(policy_file)
    assert SECRET[:16] not in repr(policy)
    (policy_file.parent / "app.secret").write_text(SECRET[::-1])
    assert load_policy(policy_file).version == policy.version


@pytest.mark.parametrize(("algorithm", "least"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
def test_a_secret_is_as_long_as_the_hash(algorithm: str, least: int, policy_file: Path) -> None:
    policy_file.write_text(TEXT.replace("HS512", algorithm))
    secret = policy_file.parent / "app.secret"
    secret.write_bytes(b"s" * least)
    assert len(secrets(load_policy(policy_file))[0]) == least
    secret.write_bytes(b"s" * (least - 1) + b"\n")
    with pytest.raises(PolicyError) as caught:
        load_policy(policy_file)
    (problem,) = caught.value.problems
    assert (problem.line, problem.key) == (6, "platform.identity.shared_secrets[0].secret_file")
    assert problem.message.endswith(f"has {least - 1} bytes; it needs {least} or more")
    assert "sss" not in str(problem)


@pytest.mark.parametrize(
    "public",
    ["-----BEGIN PUBLIC KEY-----", "-----BEGIN CERTIFICATE-----", "ssh-rsa AAAA", "ecdsa-sha2", '{"kty":"RSA"'],
)
def test_what_others_may_know_is_no_secret(public: str, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(public + "A" * 64)
    with pytest.raises(ValueError, match="is a key or a certificate"):
        read_secret(file, None, at_least=32)


def test_bounds_and_absence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "long").write_bytes(b"x" * 5000)
    with pytest.raises(ValueError, match="longer than 4096 bytes"):
        read_secret(tmp_path / "long", None)
    with pytest.raises(ValueError, match="No such file"):
        read_secret(tmp_path / "none", None)
    monkeypatch.setenv("EMPTY", "")
    with pytest.raises(ValueError, match="the environment variable EMPTY has 0 bytes; it needs 1"):
        read_secret(None, "EMPTY")
    (tmp_path / "spaces").write_bytes(b"  kept  \r\n")
    assert read_secret(tmp_path / "spaces", None) == b"  kept  "


INTROSPECTION = """
version: 1
platform:
  identity:
    introspection:
      name: opaque
      url: https://id.example.com/introspect
      client_id: tidegate
      client_secret_file: client.secret
      client_auth: post
      issuer: https://id.example.com
      audiences: [models]
      cache: 10s
      claims: {client: client_id, defaults: {tenant: acme, tier: free}}
      tenants: [acme]
tiers: {free: {}}
tenants: {acme: {}}
"""


def test_the_secret_of_a_client(tmp_path: Path) -> None:
    secret = tmp_path / "client.secret"
    (tmp_path / "policy.yaml").write_text(INTROSPECTION)
    secret.write_text("hunter2-hunter2\n")
    policy = load_policy(tmp_path / "policy.yaml")
    assert policy.introspection == Introspection(
        name="opaque",
        url="https://id.example.com/introspect",
        client_id="tidegate",
        client_secret="hunter2-hunter2",
        client_auth="post",
        issuer="https://id.example.com",
        audiences=("models",),
        cache=10.0,
        claims=ClaimMap(client=("client_id",), default_tenant="acme", default_tier="free", tenants=frozenset({"acme"})),
    )
    assert "hunter2" not in repr(policy)
    for bad, message in ((b"", "has 0 bytes"), ("gehe\u00efm".encode(), "visible ASCII"), (b"a\tb", "visible ASCII")):
        secret.write_bytes(bad)
        with pytest.raises(PolicyError, match=message):
            load_policy(tmp_path / "policy.yaml")


def test_a_changed_secret_comes_into_force_with_a_reload(policy_file: Path) -> None:
    source = PolicySource(policy_file)
    assert policy_file.parent / "app.secret" in source.files
    (policy_file.parent / "app.secret").write_text(SECRET[::-1])
    assert source.reload()
    assert secrets(source.current)[0] == SECRET[::-1].encode()
    (policy_file.parent / "app.secret").write_text("short")
    assert not source.reload()
    assert secrets(source.current)[0] == SECRET[::-1].encode()
