"""The strict reading of a JWS compact token (RFC 7515 section 7.1), before and apart from any trust in it.

Pure: bytes in, `Token` out or `TokenRejected`. What python-jose would let pass (unknown `crit`, padding, whitespace,
duplicate members, deep nesting) stops here.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tidegate.strict_json import BadJson, parse_object

MAX_LENGTH: Final = 16 * 1024  # characters, the whole token
MAX_DEPTH: Final = 8  # levels of JSON nesting in header and payload
_MAX_KID: Final = 255

_BASE64URL = re.compile(r"[A-Za-z0-9_-]+")
# Members that change what is signed or how it is read; we implement none of them, so none may be present.
_REFUSED_HEADERS: Final = (("crit", "crit"), ("b64", "b64"), ("zip", "zip"), ("enc", "enc"))


class TokenRejected(Exception):
    """A token breaks a rule. `reason` is one word for our own records; `expired` sets its refusal apart."""

    def __init__(self, reason: str, *, expired: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.expired = expired


@dataclass(frozen=True, slots=True)
class Token:
    """A well-formed, wholly untrusted token. `kid` is "" when the header has none; `typ` is normalised.

    `jwk` is the key that the header brings along, None where it brings none: for proofs, which are under such a key.
    """

    alg: str
    kid: str
    typ: str
    claims: Mapping[str, Any] = field(repr=False)
    jwk: Any = field(repr=False)
    signed: bytes = field(repr=False)
    signature: bytes = field(repr=False)


def parse(text: str) -> Token:
    """Read `text` as a compact JWS with a JSON object payload. Raises TokenRejected, and nothing else."""
    if len(text) > MAX_LENGTH:
        raise TokenRejected("too_long")
    segments = text.split(".")
    if len(segments) != 3:
        raise TokenRejected("segments")
    header = _object(decode(segments[0]))
    for member, reason in _REFUSED_HEADERS:
        if member in header:
            raise TokenRejected(reason)
    alg = header.get("alg")
    if not isinstance(alg, str):
        raise TokenRejected("alg")
    claims = _object(decode(segments[1]))
    signature = decode(segments[2])
    signed = text[: -len(segments[2]) - 1].encode("ascii")
    return Token(alg, _kid(header), _typ(header), claims, header.get("jwk"), signed, signature)


def decode(segment: str) -> bytes:
    """Strict base64url (RFC 7515 section 2): its alphabet only, no padding, no spare bits in the last character."""
    if not _BASE64URL.fullmatch(segment) or len(segment) % 4 == 1:
        raise TokenRejected("base64")
    raw = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    if base64.urlsafe_b64encode(raw).rstrip(b"=") != segment.encode("ascii"):
        raise TokenRejected("base64")
    return raw


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
