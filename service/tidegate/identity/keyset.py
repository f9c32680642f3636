"""Public keys of an issuer (RFC 7517), and the choice of exactly one of them for a token. Pure.

Only what can verify a signature gets in: private and symmetric keys, keys for encryption, short RSA keys and unknown
curves are left out, so a provider that publishes one by mistake does not lend it to anybody.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tidegate.identity.token import TokenRejected, decode

MAX_KEYS: Final = 100
_MIN_RSA_BITS: Final = 2048
_MAX_RSA_BITS: Final = 8192  # longer moduli only buy an attacker our CPU time
_MAX_RSA_EXPONENT: Final = 2**32

# Algorithm → the key type and the one curve that it is good for (RFC 7518 sections 3.3 to 3.5). Of EdDSA (RFC 8037)
# that is Ed25519, which has a name of its own by now (RFC 9864).
ALGORITHMS: Final[Mapping[str, tuple[str, str]]] = {
    "RS256": ("RSA", ""),
    "RS384": ("RSA", ""),
    "RS512": ("RSA", ""),
    "PS256": ("RSA", ""),
    "PS384": ("RSA", ""),
    "PS512": ("RSA", ""),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
    "Ed25519": ("OKP", "Ed25519"),
}
_COORDINATE_BYTES: Final = {"P-256": 32, "P-384": 48, "P-521": 66}
_FIELD: Final = 2**255 - 19  # what the coordinates of Ed25519 are counted modulo
_Y_OF_ORDER_8: Final = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
# A point of small order is a key whose signatures anybody can make: the y of all there are (of order 4, 1, 2, 8 and 8).
_SMALL_ORDER: Final = frozenset({0, 1, _FIELD - 1, _Y_OF_ORDER_8, _FIELD - _Y_OF_ORDER_8})
_SECRET_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


@dataclass(frozen=True, slots=True)
class PublicKey:
    """One usable verification key. `members` holds exactly the public JWK members; `alg` is "" for any of its type.

    `prepared` is what `signature` has made of it, by algorithm.
    """

    kid: str
    kty: str
    curve: str
    alg: str
    members: tuple[tuple[str, str], ...] = field(repr=False)
    prepared: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def fits(self, alg: str) -> bool:
        """Whether a signature of algorithm `alg` may be checked with this key."""
        return ALGORITHMS.get(alg) == (self.kty, self.curve) and self.alg in ("", alg)

    def thumbprint(self) -> str:
        """The key's name by its own value (RFC 7638), with SHA-256: base64url."""
        required = json.dumps(dict(sorted(self.members)), separators=(",", ":"))
        return base64.urlsafe_b64encode(hashlib.sha256(required.encode()).digest()).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True)
class KeySet:
    """The usable keys of one issuer at one time. Two sets are equal when their keys are."""

    keys: tuple[PublicKey, ...]
    _chosen: dict[tuple[str, str], PublicKey] = field(default_factory=dict, init=False, repr=False, compare=False)

    def select(self, kid: str, alg: str) -> PublicKey | None:
        """The one key for `kid` and `alg`; None when no key bears this kid, so a newer set may help.

        Without a kid the set must hold exactly one key that fits. Raises TokenRejected when keys bear the kid and
        none, or more than one, fits.
        """
        chosen = self._chosen.get((kid, alg))
        if chosen is not None:
            return chosen
        named = [key for key in self.keys if key.kid == kid] if kid else self.keys
        fitting = [key for key in named if key.fits(alg)]
        if len(fitting) == 1:
            self._chosen[kid, alg] = fitting[0]
            return fitting[0]
        if kid and not named:
            return None
        raise TokenRejected("key_ambiguous" if fitting else "key_unfit")


def key_set(documents: Iterable[Any]) -> KeySet:
    """The usable keys among the members of a JWK Set's `keys`, each once; unusable ones are left out."""
    return KeySet(tuple(dict.fromkeys(key for key in map(public_key, documents) if key is not None)))


def public_key(jwk: Any) -> PublicKey | None:
    """The verification key that `jwk` describes, or None when it is not one that we accept."""
    if not isinstance(jwk, Mapping) or _SECRET_MEMBERS & jwk.keys():
        return None
    kid, alg, kty = jwk.get("kid", ""), jwk.get("alg", ""), jwk.get("kty")
    if not isinstance(kid, str) or not isinstance(alg, str) or not _for_verification(jwk):
        return None
    try:
        if kty == "RSA":
            return _rsa(jwk, kid, alg)
        if kty == "EC":
            return _ec(jwk, kid, alg)
        if kty == "OKP":
            return _okp(jwk, kid, alg)
    except TokenRejected:  # a number that is not strict base64url
        return None
    return None


def _for_verification(jwk: Mapping[str, Any]) -> bool:
    if jwk.get("use", "sig") != "sig":
        return False
    operations = jwk.get("key_ops", ["verify"])
    return isinstance(operations, list | tuple) and "verify" in operations


def _rsa(jwk: Mapping[str, Any], kid: str, alg: str) -> PublicKey | None:
    n, e = jwk.get("n"), jwk.get("e")
    if not isinstance(n, str) or not isinstance(e, str):
        return None
    modulus, exponent = int.from_bytes(decode(n), "big"), int.from_bytes(decode(e), "big")
    if not _MIN_RSA_BITS <= modulus.bit_length() <= _MAX_RSA_BITS or modulus % 2 == 0:
        return None
    if not 3 <= exponent < _MAX_RSA_EXPONENT or exponent % 2 == 0:
        return None
    return PublicKey(kid, "RSA", "", alg, (("kty", "RSA"), ("n", n), ("e", e)))


def _ec(jwk: Mapping[str, Any], kid: str, alg: str) -> PublicKey | None:
    curve, x, y = jwk.get("crv"), jwk.get("x"), jwk.get("y")
    if not (isinstance(curve, str) and isinstance(x, str) and isinstance(y, str)):
        return None
    size = _COORDINATE_BYTES.get(curve)
    if size is None or len(decode(x)) != size or len(decode(y)) != size:
        return None
    return PublicKey(kid, "EC", curve, alg, (("kty", "EC"), ("crv", curve), ("x", x), ("y", y)))


def _okp(jwk: Mapping[str, Any], kid: str, alg: str) -> PublicKey | None:
    """RFC 8037 section 2. Of the curves only Ed25519 is for signatures, and written with y below the field's size."""
    curve, x = jwk.get("crv"), jwk.get("x")
    if curve != "Ed25519" or not isinstance(x, str):
        return None
    raw = decode(x)
    y = int.from_bytes(raw, "little") & (2**255 - 1)
    if len(raw) != 32 or y >= _FIELD or y in _SMALL_ORDER:
        return None
    return PublicKey(kid, "OKP", curve, alg, (("kty", "OKP"), ("crv", curve), ("x", x)))
