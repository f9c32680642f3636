"""Makes requests with proofs of possession, good and bad, from the data of tests/cases/dpop_adversarial.yaml."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from tidegate.identity.keyset import public_key
from tidegate.identity.nonces import LIFETIME, Nonces, nonces_under

from tests.identity import forge
from tests.identity.forge import ISSUER, NOW, b64
from tests.identity.mutations import mutated

CASES: list[dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parents[1] / "cases" / "dpop_adversarial.yaml").read_text(encoding="utf-8")
)


class Made(NamedTuple):
    """A request: lines are those that carry token and proof."""

    method: str
    target: str
    host: str
    lines: list[str]


def thumbprint(name: str) -> str:
    key = public_key(forge.jwk_of(name) if name != "small" else forge.jwk_of("rsa"))
    assert key is not None
    return key.thumbprint()


def made(
    case: Mapping[str, Any], now: float = NOW, *, pepper: bytes, iss: str = ISSUER, host: str = "x", jti: str = ""
) -> Made:
    """The request of a case, for a clock that stands at `now` and nonces under `pepper`."""
    method, target, host = case.get("method", "GET"), case.get("target", "/predict/x"), case.get("host", host)
    key = case.get("key", "ecclient")
    holder = key.partition(":")[0]
    token = bound_token(case.get("cnf", f"jkt:{holder}"), now, iss, case.get("token", {}))
    words = {"{origin}": f"http://{host}", "{authority}": host, **_nonces(now, pepper)}
    claims = {
        "jti": jti or uuid.uuid4().hex,
        "htm": method,
        "htu": f"http://{host}{target.partition('?')[0]}",
        "iat": now,
        "ath": ath(token + "x" if case.get("another") else token),
    }
    alg = case.get("sign", "ES256")
    header = {"typ": "dpop+jwt", "alg": alg, "jwk": forge.jwk_of(holder, **case.get("members", {}))}
    changes = {**case, "claims": _filled(case.get("claims", {}), words)}
    proof = mutated(case, forge.assembled(changes, header, claims, alg=alg, key=key, now=now))
    lines = case.get("lines", ["authorization: DPoP {token}", "dpop: {proof}"])
    return Made(method, target, host, [line.format(token=token, proof=proof) for line in lines])


def bound_token(cnf: Any, now: float, iss: str, changes: Mapping[str, Any]) -> str:
    """A good token of the issuer, bound as `cnf` says."""
    if isinstance(cnf, str) and cnf.startswith("jkt:"):
        cnf = {"jkt": thumbprint(cnf[4:])}
    claims = forge.good_claims(now, iss) | ({} if cnf is None else {"cnf": cnf})
    return forge.assembled(
        {"claims": changes}, {"alg": "RS256", "kid": "rsa", "typ": "at+jwt"}, claims, alg="RS256", key="rsa", now=now
    )


def ath(token: str) -> str:
    return b64(hashlib.sha256(token.encode()).digest())


def _nonces(now: float, pepper: bytes) -> dict[str, str]:
    nonces = nonces_under(pepper)
    assert nonces is not None
    return {
        "{good}": nonces.at(now),
        "{last}": nonces.at(now - LIFETIME),
        "{hour}": nonces.at(now - 3600),
        "{forged}": Nonces(b"another key").at(now),
    }


def _filled(value: Any, words: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _filled(part, words) for name, part in value.items()}
    if isinstance(value, list):
        return [_filled(part, words) for part in value]
    if isinstance(value, str):
        for word, meaning in words.items():
            value = value.replace(word, meaning)
    return value
