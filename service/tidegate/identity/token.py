"""The strict reading of a JWS compact token (RFC 7515 section 7.1), before and apart from any trust in it.

Pure: bytes in, `Token` out or `TokenRejected`. What python-jose would let pass (unknown `crit`, padding, whitespace,
duplicate members, deep nesting) stops here.
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from tidegate.strict_json import BadJson, parse_object

MAX_LENGTH: Final = 16 * 1024  # characters, the whole token
MAX_DEPTH: Final = 8  # levels of JSON nesting in header and payload
_MAX_KID: Final = 255

_USUAL_HEADER: Final = 1024  # characters; longer ones are not remembered
# base64url as base64; what is none of it, padding too, becomes what is none of either.
_STANDARD: Final = bytes.maketrans(b"-_+/=", b"+/!!!")
_PADDING: Final = (b"", b"", b"==", b"=")
# The last characters of two or three whose spare bits are zero.
_LAST: Final = (b"", b"", frozenset(b"AQgw"), frozenset(b"AEIMQUYcgkosw048"))
# Members that change what is signed or how it is read; we implement none of them, so none may be present.
_REFUSED_HEADERS: Final = (("crit", "crit"), ("b64", "b64"), ("zip", "zip"), ("enc", "enc"))


class TokenRejected(Exception):
    """A token breaks a rule. `reason` is one word for our own records; `expired` sets its refusal apart."""

    def __init__(self, reason: str, *, expired: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.expired = expired


class Header(NamedTuple):
    """What is asked of a token's header. `kid` is "" where it has none; `typ` is normalised.

    `jwk` is the key that it brings along, None where it brings none: for proofs, which are under such a key.
    """

    alg: str
    kid: str
    typ: str
    jwk: Any


class Token(NamedTuple):
    """A well-formed, wholly untrusted token. `alg`, `kid`, `typ` and `jwk` are as of its Header."""

    alg: str
    kid: str
    typ: str
    jwk: Any
    claims: Mapping[str, Any]
    signed: bytes
    signature: bytes

    def __repr__(self) -> str:
        return f"Token(alg={self.alg!r}, kid={self.kid!r}, typ={self.typ!r})"


def parse(text: str) -> Token:
    """Read `text` as a compact JWS with a JSON object payload. Raises TokenRejected, and nothing else."""
    if len(text) > MAX_LENGTH:
        raise TokenRejected("too_long")
    segments = text.split(".")
    if len(segments) != 3:
        raise TokenRejected("segments")
    head, payload, signature = segments
    # The tokens of an issuer differ in their payload: their headers are few.
    header = _known_header(head) if len(head) <= _USUAL_HEADER else _header(head)
    claims = _object(decode(payload))
    return Token(*header, claims, f"{head}.{payload}".encode("ascii"), decode(signature))


def decode(segment: str) -> bytes:
    """Strict base64url (RFC 7515 section 2): its alphabet only, no padding, no spare bits in the last character."""
    try:
        text = segment.encode("ascii").translate(_STANDARD)
        rest = len(text) % 4
        if not text or rest == 1 or (rest and text[-1] not in _LAST[rest]):
            raise TokenRejected("base64")
        return binascii.a2b_base64(text + _PADDING[rest], strict_mode=True)
    except ValueError:  # also what ASCII cannot encode
        raise TokenRejected("base64") from None


def _header(segment: str) -> Header:
    header = _object(decode(segment))
    for member, reason in _REFUSED_HEADERS:
        if member in header:
            raise TokenRejected(reason)
    alg = header.get("alg")
    if not isinstance(alg, str):
        raise TokenRejected("alg")
    return Header(alg, _kid(header), _typ(header), header.get("jwk"))


_known_header = lru_cache(maxsize=1024)(_header)


def _object(raw: bytes) -> dict[str, Any]:
    try:
        return parse_object(raw, max_depth=MAX_DEPTH)
    except BadJson as failure:
        raise TokenRejected(failure.reason) from None


def _kid(header: Mapping[str, Any]) -> str:
    if "kid" not in header:
        return ""
    kid = header["kid"]
    if not isinstance(kid, str) or not 0 < len(kid) <= _MAX_KID:
        raise TokenRejected("kid")
    return kid


def _typ(header: Mapping[str, Any]) -> str:
    """`typ` in lower case without "application/" (RFC 7515 section 4.1.9), "" when absent."""
    if "typ" not in header:
        return ""
    typ = header["typ"]
    if not isinstance(typ, str) or not (normal := typ.lower().removeprefix("application/")):
        raise TokenRejected("typ")
    return normal
