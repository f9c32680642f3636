"""The one door: raw parts of an HTTP request become a canonical `Request`, or a refusal. No phase sees raw input.

A path or header that two parsers may read differently is refused rather than repaired, because the model behind the
gate may be the other parser.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from tidegate.model import BodyState, Deny, Reason, Request

IDENTITY_PREFIX = "x-tidegate-"
IDENTITY_NAMES = ("subject", "tenant", "tier", "endpoint")
"""What the model learns of the caller, after the prefix."""
SIGNED_IDENTITY = "x-tidegate-identity"
"""The header with the same, signed, where the policy wants that. Of a client it never arrives."""

_SINGLE_VALUED = frozenset(
    {"authorization", "dpop", "content-length", "content-type", "host", "x-api-key", "transfer-encoding"}
    | {"proxy-authorization"}
)
# What most requests consist of: names that are canonical as they stand, and need no look one by one.
_USUAL_NAMES = (
    ":authority :method :path :scheme accept accept-encoding accept-language authorization cache-control "
    "content-length content-type cookie dpop host origin pragma referer sec-fetch-dest sec-fetch-mode sec-fetch-site "
    "traceparent tracestate transfer-encoding user-agent x-api-key x-envoy-external-address "
    "x-envoy-expected-rq-timeout-ms x-envoy-internal x-forwarded-for x-forwarded-host x-forwarded-proto x-model "
    "x-request-id x-stainless-arch x-stainless-async x-stainless-lang x-stainless-os x-stainless-package-version "
    "x-stainless-retry-count x-stainless-runtime x-stainless-runtime-version x-stainless-timeout"
)
_USUAL = frozenset(_USUAL_NAMES.split())
# Headers by which some frameworks let a client name another method or path than those that were decided on.
_OVERRIDES = frozenset(
    {"x-http-method", "x-http-method-override", "x-method-override", "x-original-url", "x-rewrite-url"}
)
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9a-z]+")  # RFC 9110 section 5.6.2, lower-cased
_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
_METHOD = re.compile(r"[A-Z]{1,32}")
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,252}[a-z0-9])?|\[[0-9a-f:.]{2,45}\]")
_PORT = re.compile(r":[0-9]{1,5}$")
_PLAIN_PATH = re.compile(r"(?:/[A-Za-z0-9_\-~.@:,+!$&'()*=]*)+")
_ENCODED_SLASH = re.compile(r"%(?:2f|5c|00|25)", re.IGNORECASE)
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_MAX_TARGET = 8192
# What is longer is no name, and must not fill the caches below: anybody can send it, with or without a credential.
_MAX_NAME = 256
_MAX_AUTHORITY = 262


def canonical(
    *,
    request_id: str,
    method: str,
    target: str,
    authority: str,
    headers: Sequence[tuple[str, str]],
    scheme: str = "",
    client_ip: str = "",
    peer: str = "",
    peer_certificate: str = "",
    body: bytes = b"",
    body_state: BodyState = BodyState.ABSENT,
    trusted_hops: int = 0,
) -> Request | Deny:
    """Build a `Request` from what the edge read. `target` is path and query; header names may be in any case.

    `scheme` is "" where the edge does not say.

    Refused with 400: malformed methods, hosts, header names and values; repeated credential, framing or identity
    headers; paths with encoded slashes, dot segments, empty segments, `;`, control or undecodable characters.
    """
    if method not in _METHODS and _METHOD.fullmatch(method) is None:
        return _malformed("The request method is not valid.", "method")
    address = address_of(authority)
    if address is None:
        return _malformed("The request host is not valid.", "host")
    host, port = address
    raw_path, _, query = target.partition("?")
    path = canonical_path(raw_path) if len(target) <= _MAX_TARGET else None
    if path is None:
        return _malformed("The request path is not in canonical form.", "path")
    fields = dict(headers)
    if len(fields) != len(headers) or not fields.keys() <= _USUAL:
        read = _fields(headers)
        if isinstance(read, Deny):
            return read
        fields = read
    values = "".join(fields.values())
    if "\n" in values or "\r" in values or "\0" in values:
        return _malformed("A header value is not valid.", "header value")
    if trusted_hops:
        client_ip = _forwarded(fields.get("x-forwarded-for", ""), trusted_hops) or client_ip
    return Request(
        id=request_id,
        method=method,
        host=host,
        path=path,
        scheme=scheme.lower(),
        port=port,
        query=query,
        headers=fields,
        client_ip=client_ip,
        peer=peer,
        peer_certificate=peer_certificate,
        body=body,
        body_state=body_state,
    )


def _fields(headers: Sequence[tuple[str, str]]) -> dict[str, str] | Deny:
    """Headers by lower-case name. Repeated ones are joined, as RFC 9110 section 5.3 says, where that is harmless."""
    fields: dict[str, str] = {}
    for raw_name, value in headers:
        name = _field_name(raw_name) if len(raw_name) <= _MAX_NAME else ""
        if name in fields:
            if name in _SINGLE_VALUED or name.replace("_", "-").startswith(IDENTITY_PREFIX):
                return _malformed("A header that must appear once was repeated.", "duplicate header")
            fields[name] = f"{fields[name]}, {value}"
        else:
            fields[name] = value
    if "" in fields:
        return _malformed("A header name is not valid.", "header name")
    return fields


def is_unwanted(name: str) -> bool:
    """Whether a header (lower-case name) is identity that is not from us, another method or path than was decided on,
    or a byte range, which lets a client read a value in two halves."""
    return name not in _USUAL and _is_unwanted(name)


@lru_cache(maxsize=4096)
def _is_unwanted(name: str) -> bool:
    spelt = name.replace("_", "-")
    if spelt.startswith(IDENTITY_PREFIX):
        return name.removeprefix(IDENTITY_PREFIX) not in IDENTITY_NAMES
    return spelt in _OVERRIDES or name in ("range", "if-range")


@lru_cache(maxsize=1024)
def canonical_path(raw: str) -> str | None:
    """The path decoded once, or None when it has no single reading."""
    if _PLAIN_PATH.fullmatch(raw) is None:
        if raw[:1] != "/" or ";" in raw or "\\" in raw or "#" in raw or not raw.isascii():
            return None
        if _ENCODED_SLASH.search(raw) or _BROKEN_ESCAPE.search(raw):
            return None
        try:
            raw = unquote_to_bytes(raw).decode("utf-8")
        except UnicodeDecodeError:
            return None
        if _CONTROL.search(raw) or ";" in raw or "?" in raw or "#" in raw:
            return None
    if "//" in raw or "/./" in raw or "/../" in raw or raw.endswith(("/.", "/..")):
        return None
    return raw


@lru_cache(maxsize=4096)
def _field_name(raw: str) -> str:
    """The name in lower case, "" when it is none. Pseudo-headers keep their colon and mean nothing to any phase."""
    name = raw.lower()
    return name if _TOKEN.fullmatch(name.removeprefix(":")) else ""


def address_of(authority: str) -> tuple[str, int] | None:
    """(host in lower case, port or 0); None for what is no authority."""
    return _address(authority) if len(authority) <= _MAX_AUTHORITY else None


@lru_cache(maxsize=4096)
def _address(authority: str) -> tuple[str, int] | None:
    """A trailing dot is refused: Envoy takes it off, or routes by another name than this."""
    port = _PORT.search(authority)
    host = authority[: port.start()] if port else authority
    return (host.lower(), int(port[0][1:]) if port else 0) if _HOST.fullmatch(host.lower()) else None


def _forwarded(value: str, hops: int) -> str | None:
    """The address that the outermost trusted hop saw: `hops` entries left of the one that the edge itself appended."""
    entries = [entry.strip() for entry in value.split(",")]
    if len(entries) <= hops:
        return None
    try:
        return str(ipaddress.ip_address(entries[-1 - hops]))
    except ValueError:
        return None


def _malformed(message: str, detail: str) -> Deny:
    return Deny(400, Reason.REQUEST_MALFORMED, message, detail=detail)
