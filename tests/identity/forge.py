"""Makes tokens, good and bad, from the data of tests/cases/jwt_adversarial.yaml. Keys are made once a session."""

from __future__ import annotations

import base64
import hmac
import json
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from tidegate.policy.compiled_identity import ClaimMap, Issuer

NOW = 1_700_000_000.0
ISSUER = "https://id.example.com/"
_CURVES = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}
_CURVE_NAMES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
_HASHES = {"1": hashes.SHA1, "256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}


class FakeClock:
    """Both clocks in one hand."""

    def __init__(self, now: float = NOW) -> None:
        self.wall = now
        self.steady = 1000.0

    def now(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.steady

    def advance(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@cache
def private(name: str) -> Any:
    """A key by name: ec384, ec521, ec* on P-256, ed* on Ed25519, small (1024 bits), else an RSA key of 2048 bits."""
    if name.startswith("ed"):
        return ed25519.Ed25519PrivateKey.generate()
    if name.startswith("ec"):
        return ec.generate_private_key({"ec384": ec.SECP384R1, "ec521": ec.SECP521R1}.get(name, ec.SECP256R1)())
    return rsa.generate_private_key(public_exponent=65537, key_size=1024 if name == "small" else 2048)


def jwk_of(name: str, kid: str = "", **members: Any) -> dict[str, Any]:
    """The public JWK of a named key; a member that is None is left out."""
    if name.startswith("ed"):
        made = {"kty": "OKP", "crv": "Ed25519", "x": b64(private(name).public_key().public_bytes_raw())}
        return {name: value for name, value in (made | {"kid": kid or None} | members).items() if value is not None}
    numbers = private(name).public_key().public_numbers()
    if isinstance(numbers, rsa.RSAPublicNumbers):
        made = {"kty": "RSA", "n": _number(numbers.n), "e": _number(numbers.e)}
    else:
        size = (numbers.curve.key_size + 7) // 8
        made = {"kty": "EC", "crv": _CURVE_NAMES[numbers.curve.name]}
        made |= {"x": _number(numbers.x, size), "y": _number(numbers.y, size)}
    if kid:
        made["kid"] = kid
    return {name: value for name, value in (made | members).items() if value is not None}


def _number(value: int, size: int = 0) -> str:
    return b64(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


def issuer(**fields: Any) -> Issuer:
    """The issuer of the tests: static keys `rsa` (RS*, PS*), `ec`, `ec384`, `ec521`, each its own kid."""
    defaults = Issuer(
        name="corp",
        issuer=ISSUER,
        audiences=("models", "models-eu"),
        algorithms=("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"),
        jwks=tuple(jwk_of(name, name) for name in ("rsa", "ec", "ec384", "ec521")),
        claims=ClaimMap(tenant=("org", "id"), tier=("plan",), roles=("roles",)),
    )
    return replace(defaults, **fields)


def good_claims(now: float = NOW, iss: str = ISSUER) -> dict[str, Any]:
    return {
        "iss": iss,
        "aud": "models",
        "sub": "user-1",
        "iat": now - 10,
        "exp": now + 300,
        "org": {"id": "acme"},
        "plan": "free",
        "roles": ["analyst", "admin"],
        "scope": "chat read",
    }


def sign(alg: str, key: str, signed: bytes) -> bytes:
    """The signature of `signed`. HS* takes the named key's public half for a secret, as an attacker would."""
    if alg in ("HS256", "HS384", "HS512"):
        return hmac.digest(_public_bytes(key), signed, f"sha{alg[2:]}")
    holder = private(key.partition(":")[0])
    if isinstance(holder, ed25519.Ed25519PrivateKey):
        return holder.sign(signed)
    digest = _HASHES[alg[2:]]()
    if alg.startswith("ES"):
        r, s = decode_dss_signature(holder.sign(signed, ec.ECDSA(digest)))
        size = (holder.curve.key_size + 7) // 8
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")
    if alg.startswith("PS"):
        salt = 0 if key.endswith("saltless") else digest.digest_size
        return holder.sign(signed, padding.PSS(padding.MGF1(digest), salt), digest)
    return holder.sign(signed, padding.PKCS1v15(), digest)


def _public_bytes(key: str) -> bytes:
    """What an attacker may take for a shared secret: the public key in one of its forms, or nothing, or its kid."""
    name, _, form = key.partition(":")
    if form in ("", "pem", "der", "pem_stripped"):
        encoding = serialization.Encoding.DER if form == "der" else serialization.Encoding.PEM
        spki = private(name).public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)
        return spki.strip() if form == "pem_stripped" else spki
    match form:
        case "pkcs1":
            encoding, shape = serialization.Encoding.PEM, serialization.PublicFormat.PKCS1
            return private(name).public_key().public_bytes(encoding, shape)
        case "ssh":
            encoding, shape = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
            return private(name).public_key().public_bytes(encoding, shape)
        case "jwk":
            return compact(jwk_of(name, name))
        case "modulus":
            return base64.urlsafe_b64decode(jwk_of(name)["n"] + "==")
        case "kid":
            return name.encode()
    assert form == "nothing"
    return b""


def token(
    claims: Mapping[str, Any] | str | bytes | None = None,
    header: Mapping[str, Any] | str | bytes | None = None,
    *,
    alg: str = "RS256",
    key: str = "rsa",
) -> str:
    """A signed token; text or bytes for claims or header go in as they are."""
    head = {"alg": alg, "kid": key, "typ": "JWT"} if header is None else header
    body = good_claims() if claims is None else claims
    parts = [_raw(part) for part in (head, body)]
    signed = ".".join(map(b64, parts)).encode()
    return f"{signed.decode()}.{b64(sign(alg, key, signed))}"


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _raw(part: Mapping[str, Any] | str | bytes) -> bytes:
    if isinstance(part, bytes):
        return part
    return part.encode("utf-8", "surrogatepass") if isinstance(part, str) else compact(part)


def forge(case: Mapping[str, Any], now: float = NOW, iss: str = ISSUER) -> str:
    """The token that a case of the data file describes, for a clock that stands at `now`."""
    alg, key = case.get("sign", "RS256"), case.get("key", "rsa")
    return assembled(case, {"alg": alg, "kid": key, "typ": "JWT"}, good_claims(now, iss), alg=alg, key=key, now=now)


def assembled(
    case: Mapping[str, Any], header: dict[str, Any], claims: dict[str, Any], *, alg: str, key: str, now: float
) -> str:
    """A good header and good claims, changed as a case says, under a signature."""
    header = header | _resolved(case.get("header", {}), now)
    claims = claims | _resolved(case.get("claims", {}), now)
    for part, patch in ((header, "drop_header"), (claims, "drop")):
        for name in case.get(patch, ()):
            del part[name]
    head = case.get("raw_header") or _spliced(compact(header).decode(), case.get("splice_header", ""))
    body = case.get("raw_claims") or _spliced(compact(claims).decode(), case.get("splice", ""))
    head, body = (re.sub(r"<(.+?)\*(\d+)>", lambda m: m[1] * int(m[2]), part) for part in (head, body))
    payload = CODECS[case["codec"]](body) if "codec" in case else body
    return token(payload, head, alg=alg, key=key)


CODECS: dict[str, Callable[[str], bytes]] = {
    "utf-16": lambda text: text.encode("utf-16"),
    "utf-32-le": lambda text: text.encode("utf-32-le"),
    "utf-8-sig": lambda text: text.encode("utf-8-sig"),
    "latin-1": lambda text: text.replace("user-1", "us\xe9r").encode("latin-1"),
    "overlong": lambda text: text.encode().replace(b"/", b"\xc0\xaf"),
    "deflated": lambda text: zlib.compress(text.encode()),
    "bomb": lambda text: zlib.compress(text.encode() + b" " * 10_000_000, 9),
    "spaced": lambda text: f" \r\n\t{text} \n".encode(),
    "trailing_nul": lambda text: text.encode() + b"\0",
    "nested_token": lambda text: token(text).encode(),
}


def _spliced(text: str, first: str) -> str:
    return "{" + first + text[1:] if first else text


def _resolved(value: Any, now: float) -> Any:
    """Strings like now+300 as numbers of seconds, whole ones after "int", or text after "text"; `jwk:name` as a JWK."""
    if isinstance(value, dict):
        return {name: _resolved(part, now) for name, part in value.items()}
    if isinstance(value, list):
        return [_resolved(part, now) for part in value]
    if isinstance(value, str) and (match := re.fullmatch(r"(int |text )?now([+-][0-9.]+)?", value)):
        moment = now + float(match[2] or 0)
        return {None: moment, "int ": int(moment), "text ": str(int(moment))}[match[1]]
    if isinstance(value, str) and value.startswith("jwk:"):
        return jwk_of(value[4:])
    return value
