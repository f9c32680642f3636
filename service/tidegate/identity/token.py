"""The strict reading of a JWS compact token (RFC 7515 section 7.1), before and apart from any trust in it.

Pure: bytes in, `Token` out or `TokenRejected`. What python-jose would let pass (unknown `crit`, padding, whitespace,
duplicate members, deep nesting) stops here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple, cast

from pydantic_core import CoreConfig, SchemaValidator, core_schema

from tidegate.strict_json import BadJson, parse_object

MAX_LENGTH: Final = 16 * 1024  # characters, the whole token
MAX_DEPTH: Final = 8  # levels of JSON nesting in header and payload
_MAX_KID: Final = 255

_USUAL_HEADER: Final = 1024  # characters; longer ones are not remembered
# pydantic's own, in a fifth of the time that binascii takes. It reads base64, with and without padding, just as well.
_BASE64URL: Final = cast(
    Callable[[str], bytes],
    SchemaValidator(core_schema.bytes_schema(), CoreConfig(val_json_bytes="base64")).validate_strings,
)
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
    claims: dict[str, Any]
    signed: bytes
    signature: bytes

    def __repr__(self) -> str:
        return f"Token(alg={self.alg!r}, kid={self.kid!r}, typ={self.typ!r})"


def parse(text: str) -> Token:
    """Read `text` as a compact JWS with a JSON object payload. Raises TokenRejected, and nothing else."""
    if len(text) > MAX_LENGTH:
        raise TokenRejected("too_long")
    signed, _, signature = text.rpartition(".")
    head, dot, payload = signed.partition(".")
    if not dot or "." in payload:
        raise TokenRejected("segments")
    if not payload or not signature or _is_standard(text):
        raise TokenRejected("base64")
    # The tokens of an issuer differ in their payload: their headers are few.
    alg, kid, typ, jwk = _known_header(head) if len(head) <= _USUAL_HEADER else _header(head)
    try:
        claims = parse_object(_BASE64URL(payload), MAX_DEPTH)
        return Token(alg, kid, typ, jwk, claims, signed.encode("ascii"), _BASE64URL(signature))
    except BadJson as failure:
        raise TokenRejected(failure.reason) from None
    except ValueError:
        raise TokenRejected("base64") from None


def decode(segment: str) -> bytes:
    """Strict base64url (RFC 7515 section 2): its alphabet only, no padding, no spare bits in the last character."""
    if not segment or _is_standard(segment):
        raise TokenRejected("base64")
    try:
        return _BASE64URL(segment)
    except ValueError:
        raise TokenRejected("base64") from None


def _is_standard(text: str) -> bool:
    """Whether something is in it that only base64 has, or base64 with padding."""
    return "=" in text or "+" in text or "/" in text


def _header(segment: str) -> Header:
    try:
        header = parse_object(decode(segment), MAX_DEPTH)
    except BadJson as failure:
        raise TokenRejected(failure.reason) from None
    for member, reason in _REFUSED_HEADERS:
        if member in header:
            raise TokenRejected(reason)
    alg = header.get("alg")
    if not isinstance(alg, str):
        raise TokenRejected("alg")
    return Header(alg, _kid(header), _typ(header), header.get("jwk"))


_known_header = lru_cache(maxsize=1024)(_header)


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
