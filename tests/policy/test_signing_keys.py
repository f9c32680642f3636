"""Keys that sign context tokens: which are accepted, what is published of them, and that nothing tells the rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jose import jwk
from tidegate.cli import app
from tidegate.errors import PolicyError
from tidegate.policy import load_policy
from tidegate.policy.json_schema import json_schema
from tidegate.policy.signing_keys import signing_key, thumbprint
from typer.testing import CliRunner

POLICY = """
version: 1
platform:
  context_token: {issuer: gate, keys: [{file: a.pem}, {env: TIDEGATE_TESTS_KEY}]}
"""
MAKE = {
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "RSA": lambda: rsa.generate_private_key(65537, 2048),
    "P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "secp256k1": lambda: ec.generate_private_key(ec.SECP256K1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
    "short RSA": lambda: rsa.generate_private_key(65537, 1024),
}


def pem(kind: str, password: bytes = b"") -> str:
    hidden = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, hidden)
    return MAKE[kind]().private_bytes(*form).decode()


def public(text: str) -> str:
    key = serialization.load_pem_private_key(text.encode(), None).public_key()
    form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return key.public_bytes(*form).decode()


def test_the_id_of_a_key_is_its_thumbprint() -> None:
    """The example of RFC 7638 section 3.1."""
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3okn"
        "jhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6q"
        "MQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awa"
        "pJzKnqDKgw"
    )
    members = {"kty": "RSA", "n": modulus, "e": "AQAB"}
    assert thumbprint(members) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


@pytest.mark.parametrize(("kind", "alg"), [("P-256", "ES256"), ("P-384", "ES384"), ("RSA", "RS256")])
def test_what_is_published_is_the_public_half_as_jose_reads_it(kind: str, alg: str) -> None:
    text = pem(kind)
    key = signing_key(text, where="it", private=True)
    assert (key.alg, key.jwk["alg"], key.jwk["use"], key.jwk["kid"]) == (alg, alg, "sig", key.kid)
    assert not {"d", "p", "q", "dp", "dq", "qi", "k"} & key.jwk.keys()
    expected = jwk.construct(public(text), alg).to_dict()
    assert {name: key.jwk[name] for name in expected} == expected
    assert "PRIVATE" not in repr(key)
    only = signing_key(public(text), where="it", private=False)
    assert (only.kid, only.jwk, only.pem) == (key.kid, key.jwk, "")


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (pem("P-521"), "is of a kind that tokens are not signed with here"),
        (pem("secp256k1"), "is of a kind that tokens are not signed with here"),
        (pem("Ed25519"), "is of a kind that tokens are not signed with here"),
        (pem("short RSA"), "has 1024 bits; it needs 2048 to 8192"),
        (pem("P-256", b"password"), "is encrypted"),
        (public(pem("P-256")), "is a public key; the first key must sign"),
        ("", "is not a key in PEM"),
        ("a shared secret that is long enough for HS256", "is not a key in PEM"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "is not a key in PEM"),
    ],
)
def test_no_other_key_signs(text: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=f"^it {wrong}") as caught:
        signing_key(text, where="it", private=True)
    assert "AAAA" not in str(caught.value)


@pytest.fixture
def policy_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "a.pem").write_text(pem("P-256"))
    monkeypatch.setenv("TIDEGATE_TESTS_KEY", public(pem("RSA")))
    (tmp_path / "policy.yaml").write_text(POLICY)
    return tmp_path / "policy.yaml"


def test_a_policy_takes_them_from_files_and_the_environment_and_says_nothing_of_them(policy_file: Path) -> None:
    policy = load_policy(policy_file)
    assert policy.context_token is not None
    assert [(key.alg, bool(key.pem)) for key in policy.context_token.keys] == [("ES256", True), ("RS256", False)]
    assert (policy.context_token.lifetime, policy.context_token.reuse) == (60.0, 30.0)
    assert "PRIVATE" not in repr(policy)
    (policy_file.parent / "a.pem").write_text(pem("P-256"))
    assert load_policy(policy_file).version == policy.version  # which is published
    assert jsonschema.Draft202012Validator(json_schema()).is_valid(yaml.safe_load(POLICY))


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"env": "TIDEGATE_TESTS_KEY"}, "keys[0].env: the key in the environment variable TIDEGATE_TESTS_KEY is a pub"),
        ({"file": "b.pem"}, "keys[0].file: cannot read"),
        ({"file": "policy.yaml"}, "is not a key in PEM"),
        ({"file": "large.pem"}, "is no ASCII text of at most 64 KiB"),
    ],
)
def test_a_key_that_cannot_sign_is_named_by_file_line_and_key(
    change: dict[str, Any], wrong: str, policy_file: Path
) -> None:
    (policy_file.parent / "large.pem").write_bytes(b"x" * 70_000)
    policy_file.write_text(POLICY.replace("{file: a.pem}", json.dumps(change)))
    with pytest.raises(PolicyError) as caught:
        load_policy(policy_file)
    assert f"{policy_file}:4: platform.context_token." in str(caught.value)
    assert wrong in str(caught.value)


def test_one_key_twice_is_a_mistake(policy_file: Path) -> None:
    policy_file.write_text(POLICY.replace("{env: TIDEGATE_TESTS_KEY}", "{file: a.pem}"))
    with pytest.raises(PolicyError, match=r"keys\[1\]: the same key a second time"):
        load_policy(policy_file)


@pytest.mark.parametrize("alg", ["ES256", "ES384", "RS256"])
def test_a_key_is_made_for_its_owner_alone_and_never_over_another(alg: str, tmp_path: Path) -> None:
    file = tmp_path / "a.pem"
    made = CliRunner().invoke(app, ["signing-keys", "create", str(file), "--alg", alg])
    assert made.exit_code == 0
    assert file.stat().st_mode & 0o777 == 0o600
    key = signing_key(file.read_text(), where="it", private=True)
    assert (key.kid, key.alg) == (made.stdout.strip(), alg)
    again = CliRunner().invoke(app, ["signing-keys", "create", str(file)])
    assert (again.exit_code, again.stderr) == (2, f"{file}: cannot be made: File exists\n")
    assert signing_key(file.read_text(), where="it", private=True) == key


def test_the_command_prints_what_is_published(policy_file: Path) -> None:
    shown = CliRunner().invoke(app, ["signing-keys", "jwks", str(policy_file)])
    assert [key["kty"] for key in json.loads(shown.stdout)["keys"]] == ["EC", "RSA"]
    policy_file.write_text("version: 1\n")
    none = CliRunner().invoke(app, ["signing-keys", "jwks", str(policy_file)])
    assert (none.exit_code, none.stdout) == (2, "")
    assert "there are no context tokens" in none.stderr
