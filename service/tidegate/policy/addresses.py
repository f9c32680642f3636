"""Where requests go and where things are: the hosts, paths, URLs and SPIFFE IDs of a policy."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, StringConstraints

from tidegate.policy import spiffe
from tidegate.policy.durations import shown
from tidegate.policy.routes import REST, segments, variable
from tidegate.policy.words import AllOr, text_like

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_VARIABLE = re.compile(r"[a-z_][a-z0-9_]{0,31}")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def _host(value: str) -> str:
    if value == "*":
        raise ValueError('write "*" alone, not beside other hosts')
    if value != value.lower():
        raise ValueError(f"must be in lower case: {value.lower()!r}")
    if value.startswith("["):
        try:
            ipaddress.IPv6Address(value[1:-1] if value.endswith("]") else "")
        except ValueError:
            raise ValueError(f"{value!r} is not an IPv6 address in brackets") from None
    elif len(value) > 253 or not all(_LABEL.fullmatch(label) for label in value.split(".")):
        raise ValueError(f"{value!r} is not a host name: exact, without scheme, port, wildcard or trailing dot")
    return value


def _domain(value: str) -> str:
    if value.startswith("[") or "." not in value:
        raise ValueError(f"{shown(value)} is not a domain, such as example.com")
    return _host(value)


def _host_pattern(value: str) -> str:
    _host(value.removeprefix("*."))
    return value


def _lone_star(value: object) -> object:
    return "*" if value == ["*"] else value


def _path(value: str) -> str:
    if not value.startswith("/") or not value.isprintable():
        raise ValueError('must begin with "/" and hold printable characters only')
    for bad in ("//", "%", "\\", "?", "#", ";"):
        if bad in value:
            raise ValueError(f"must not hold {bad!r}: paths are compared decoded, without query")
    parts, names = segments(value), set()
    for index, part in enumerate(parts):
        name = variable(part)
        if part in (".", ".."):
            raise ValueError(f"must not hold the segment {part!r}")
        if part == REST and index != len(parts) - 1:
            raise ValueError("** may only be the last segment")
        if name and (_VARIABLE.fullmatch(name) is None or name in names):
            raise ValueError(f"{part!r} must name a variable of its own: {{lower_case}}")
        if not name and part != REST and any(sign in part for sign in "{}*"):
            raise ValueError(f"{part!r}: a {{variable}} or ** must be a whole segment")
        names.add(name)
    return value


def _url(value: str) -> str:
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("is not a URL") from None
    if not host or not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError("is not a URL")
    if parts.scheme != "https" and not (parts.scheme == "http" and host in _LOOPBACK):
        raise ValueError("must be https (http only for a loopback address)")
    if parts.username is not None or parts.fragment:
        raise ValueError("must not hold a user name, a password or a fragment")
    return value


def discoverable(issuer: str) -> None:
    """Raises ValueError for an issuer that is not the URL of its own metadata."""
    try:
        _url(issuer)
    except ValueError as error:
        raise ValueError(f"without jwks_uri or jwks_file its keys are discovered, but issuer {error}") from None
    if "?" in issuer:
        raise ValueError("without jwks_uri or jwks_file its keys are discovered, but issuer has a query")


def _spiffe_id(value: str) -> str:
    if spiffe.parse(value) is None:
        raise ValueError(f"{shown(value)} is not a SPIFFE ID: spiffe://trust.domain/path, exactly")
    return value


def _spiffe_ids(value: str) -> str:
    if spiffe.parse(f"{value[:-2]}x" if value.endswith("/**") else value) is None:
        raise ValueError(f"{shown(value)} is not a SPIFFE ID, or one with a final /**: spiffe://trust.domain/path")
    return value


HostPattern = Annotated[str, StringConstraints(min_length=1, max_length=255), AfterValidator(_host_pattern)]
Domain = Annotated[str, StringConstraints(min_length=1, max_length=253), AfterValidator(_domain)]
Host = Annotated[str, StringConstraints(min_length=1, max_length=253), AfterValidator(_host)]
PathTemplate = Annotated[str, StringConstraints(min_length=1, max_length=1024), AfterValidator(_path)]
JwksUri = Annotated[str, AfterValidator(_url), text_like(r"^https?://", "https://id.example.com/jwks.json")]
ServiceUrl = Annotated[str, AfterValidator(_url), text_like(r"^https?://", "https://safety.example.com")]
SpiffeId = Annotated[
    str, AfterValidator(_spiffe_id), text_like(r"^spiffe://", "spiffe://prod.example.com/ns/ml/sa/batch")
]
SpiffeIds = Annotated[str, AfterValidator(_spiffe_ids), text_like(r"^spiffe://", "spiffe://prod.example.com/ns/ml/**")]
Hosts = Annotated[AllOr[Host], BeforeValidator(_lone_star)]
