"""Makes tokens, good and bad, from the data of tests/cases/jwt_adversarial.yaml. Keys are made once a session."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from tidegate.policy.compiled import ClaimMap, Issuer

NOW = 1_700_000_000.0
ISSUER = "https://id.example.com/"
_CURVES = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}
_CURVE_NAMES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
_HASHES = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}


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
    """A key by name: ec*, small (1024 bits), anything else is an RSA key of 2048 bits."""
    if name.startswith("ec"):
        return ec.generate_private_key({"ec": ec.SECP256R1, "ec384": ec.SECP384R1, "ec521": ec.SECP521R1}[name[:5]]())
    return rsa.generate_private_key(public_exponent=65537, key_size=1024 if name == "small" else 2048)


def jwk_of(name: str, kid: str = "", **members: Any) -> dict[str, Any]:
    """The public JWK of a named key; a member that is None is left out."""
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


def good_claims() -> dict[str, Any]:
    return {
        "iss": ISSUER,
        "aud": "models",
        "sub": "user-1",
        "iat": NOW - 10,
        "exp": NOW + 300,
        "org": {"id": "acme"},
        "plan": "free",
        "roles": ["analyst", "admin"],
        "scope": "chat read",
    }


def sign(alg: str, key: str, signed: bytes) -> bytes:
    """The signature of `signed`. HS* takes the named key's public half for a secret, as an attacker would."""
    if alg in ("HS256", "HS384", "HS512"):
        return hmac.digest(_public_bytes(key), signed, f"sha{alg[2:]}")
    holder = private(key)
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
    name, _, form = key.partition(":")
    encoding = serialization.Encoding.DER if form == "der" else serialization.Encoding.PEM
    return private(name).public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)


def token(
    claims: Mapping[str, Any] | str | None = None,
    header: Mapping[str, Any] | str | None = None,
    *,
    alg: str = "RS256",
    key: str = "rsa",
) -> str:
    """A signed token; text for claims or header goes in as it is."""
    head = {"alg": alg, "kid": key, "typ": "JWT"} if header is None else header
    body = good_claims() if claims is None else claims
    parts = [part.encode("utf-8", "surrogatepass") if isinstance(part, str) else _json(part) for part in (head, body)]
    signed = ".".join(map(b64, parts)).encode()
    return f"{signed.decode()}.{b64(sign(alg, key, signed))}"


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def forge(case: Mapping[str, Any]) -> str:
    """The token that a case of the data file describes."""
    alg, key = case.get("sign", "RS256"), case.get("key", "rsa")
    header = {"alg": alg, "kid": key, "typ": "JWT"} | case.get("header", {})
    claims = good_claims() | _resolved(case.get("claims", {}))
    for part, patch in ((header, "drop_header"), (claims, "drop")):
        for name in case.get(patch, ()):
            del part[name]
    head = case.get("raw_header") or _spliced(_json(header).decode(), case.get("splice_header", ""))
    body = case.get("raw_claims") or _spliced(_json(claims).decode(), case.get("splice", ""))
    head, body = (re.sub(r"<(.+?)\*(\d+)>", lambda m: m[1] * int(m[2]), part) for part in (head, body))
    made = token(body, head, alg=alg, key=key)
    return MUTATIONS[case["mutate"]](made) if "mutate" in case else made


def _spliced(text: str, first: str) -> str:
    return "{" + first + text[1:] if first else text


def _resolved(value: Any) -> Any:
    """Strings like now+300 as numbers of seconds."""
    if isinstance(value, dict):
        return {name: _resolved(part) for name, part in value.items()}
    if isinstance(value, str) and (match := re.fullmatch(r"now([+-][0-9.]+)?", value)):
        return NOW + float(match[1] or 0)
    return value


def _segments(change: Callable[[list[str]], list[str]]) -> Callable[[str], str]:
    return lambda text: ".".join(change(text.split(".")))


def _other_spare_bits(segment: str) -> str:
    """The same bytes, written with other spare bits in the last character (RS256: 342 characters, 4 spare bits)."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert len(segment) % 4 in (2, 3)
    return segment[:-1] + alphabet[alphabet.index(segment[-1]) ^ 1]


def _negated_s(text: str) -> str:
    """ES256 with s outside of its range: s + n is congruent, and must not pass."""
    n = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    head, body, signature = text.split(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    s = (int.from_bytes(raw[32:], "big") + n) % 2**256
    return f"{head}.{body}.{b64(raw[:32] + s.to_bytes(32, 'big'))}"


MUTATIONS: dict[str, Callable[[str], str]] = {
    "nothing": lambda text: text,
    "empty": lambda text: "",
    "dots": lambda text: "..",
    "two_segments": lambda text: text.rpartition(".")[0],
    "four_segments": lambda text: text + ".AAAA",
    "five_segments": lambda text: "eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ.AAAA.AAAA.AAAA.AAAA",
    "leading_dot": lambda text: "." + text,
    "no_signature": _segments(lambda s: [s[0], s[1], ""]),
    "no_payload": _segments(lambda s: [s[0], "", s[2]]),
    "no_header": _segments(lambda s: ["", s[1], s[2]]),
    "short_signature": _segments(lambda s: [s[0], s[1], s[2][:-4]]),
    "zero_signature": _segments(lambda s: [s[0], s[1], b64(bytes(len(base64.urlsafe_b64decode(s[2] + "=="))))]),
    "long_signature": _segments(lambda s: [s[0], s[1], s[2][:-2] + "AAAAAAAA"]),
    "padded": lambda text: text + "==",
    "padded_header": _segments(lambda s: [s[0] + "=", s[1], s[2]]),
    "trailing_newline": lambda text: text + "\n",
    "leading_space": lambda text: " " + text,
    "inner_space": _segments(lambda s: [s[0], s[1][:8] + " " + s[1][8:], s[2]]),
    "inner_newline": _segments(lambda s: [s[0], s[1], s[2][:8] + "\r\n" + s[2][8:]]),
    "nul": _segments(lambda s: [s[0], s[1], s[2] + "\x00"]),
    "spare_bits": _segments(lambda s: [s[0], s[1], _other_spare_bits(s[2])]),
    "standard_alphabet": _segments(lambda s: [s[0], s[1], "+/" + s[2][2:]]),
    "not_ascii": _segments(lambda s: [s[0], s[1], "é" + s[2][1:]]),
    "full_width": _segments(lambda s: [s[0], s[1], "\uff21" + s[2][1:]]),
    "surrogate": _segments(lambda s: [s[0], s[1], "\udc80" + s[2][1:]]),
    "length_one_mod_four": _segments(lambda s: [s[0], s[1], s[2][:-1]]),
    "too_long": lambda text: text + "A" * 16_384,
    "one_bit_header": _segments(lambda s: [b64(_flip(s[0])), s[1], s[2]]),
    "one_bit_signature": _segments(lambda s: [s[0], s[1], b64(_flip(s[2]))]),
    "swap_payload": _segments(lambda s: [s[0], b64(_json(good_claims() | {"sub": "mallory"})), s[2]]),
    "sha_of_itself": _segments(lambda s: [s[0], s[1], b64(hashlib.sha256(s[1].encode()).digest())]),
    "s_plus_n": _negated_s,
    "der_signature": _segments(
        lambda s: [s[0], s[1], b64(b"\x30\x44\x02\x20" + b"\x01" * 32 + b"\x02\x20" + b"\x01" * 32)]
    ),
}


def _flip(segment: str) -> bytes:
    raw = bytearray(base64.urlsafe_b64decode(segment + "=="))
    raw[-1] ^= 1
    return bytes(raw)
