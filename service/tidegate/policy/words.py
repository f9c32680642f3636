"""The vocabulary of the policy document: what a name, a host, a path or a claim path may look like."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Hashable, Sequence
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    WithJsonSchema,
)

from tidegate.admission.queue.terms import MAX_WAIT
from tidegate.filtering.canaries import CANARY, SHORTEST
from tidegate.filtering.markup import MARKUP
from tidegate.filtering.ner.model import NAMES
from tidegate.filtering.prompt_leak import SYSTEM_PROMPT
from tidegate.filtering.references import UNGROUNDED
from tidegate.filtering.selection import parse_pointer
from tidegate.policy import spiffe
from tidegate.policy.durations import (
    DAY,
    DURATION_PATTERN,
    MAX_COUNT,
    MAX_WINDOW,
    SIZE_PATTERN,
    bounded,
    parse_duration,
    parse_size,
    shown,
)
from tidegate.policy.routes import REST, segments, variable

T = TypeVar("T", bound=Hashable)

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
ALGORITHMS = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA", "Ed25519"),
)

NAME_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9._-]*$"
ENTITY_PATTERN = r"^[A-Z][A-Z0-9_]*$"
LISTED = "LIST_"
LISTED_PATTERN = rf"^{LISTED}[A-Z][A-Z0-9_]*$"
SCOPE_PATTERN = r"^[\x21\x23-\x5B\x5D-\x7E]+$"
HEADER_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9-]*$"
CURRENCY_PATTERN = r"^[A-Z]{3}$"
ENV_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*$"
LIST_PATTERN = r"^[a-z][a-z0-9_]*$"
PACKAGE_PATTERN = r"^[A-Za-z][A-Za-z0-9_]*$"
POINTER_PATTERN = r"^(/([^~/]|~[01])*)+$"
OPAQUE_PATTERN = r"^[A-Za-z0-9._~+/-]+$"
PATTERNS = {
    OPAQUE_PATTERN: "a token is letters, digits and '.', '_', '~', '+', '/', '-'",
    NAME_PATTERN: "a name is letters, digits, '_', '-' and '.', and begins with a letter, a digit or '_'",
    ENTITY_PATTERN: "a kind of value is in capitals, such as EMAIL",
    SCOPE_PATTERN: "a scope has no spaces, quotes or backslashes",
    HEADER_PATTERN: "a header name is letters, digits and '-'",
    CURRENCY_PATTERN: "a currency is its code of ISO 4217, such as USD",
    LIST_PATTERN: "the name of a deny list is lower-case letters, digits and '_', and begins with a letter",
    PACKAGE_PATTERN: "an installed package is named by letters, digits and '_'",
    ENV_PATTERN: "an environment variable is letters, digits and '_', and begins with no digit",
}

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_VARIABLE = re.compile(r"[a-z_][a-z0-9_]{0,31}")
_SOURCE = re.compile(r"body(\.[A-Za-z0-9_-]{1,64}){1,8}|header\.[a-z0-9][a-z0-9-]{0,63}|path\.[a-z_][a-z0-9_]{0,31}")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def _unique(items: list[T]) -> list[T]:
    for index, item in enumerate(items):
        if item in items[:index] if len(items) < 64 else len(set(items)) < len(items):
            raise ValueError(f"{shown(item)} is listed twice" if len(items) < 64 else "an item is listed twice")
    return items


def _printable(value: str) -> str:
    if not value.isprintable() or value != value.strip():
        raise ValueError("must be printable characters, without space around them")
    return value


def _not_star(value: str) -> str:
    if value == "*":
        raise ValueError('write "*" alone, not in a list')
    return _printable(value)


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


def _canary(value: str) -> str:
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError("must be visible ASCII characters, without spaces")
    return value


def _hosts(value: str) -> str:
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


def _source(value: str) -> str:
    if _SOURCE.fullmatch(value) is None:
        raise ValueError("must be body.<key>, header.<lower-case-name> or path.<variable>")
    if value in ("header.authorization", "header.cookie"):
        raise ValueError("that header carries credentials")
    return value


def _algorithm(value: str) -> str:
    if value.upper().startswith("HS"):
        raise ValueError(
            f"{value} is symmetric: whoever can verify could also forge; accepted: {', '.join(ALGORITHMS)}"
        )
    if value.lower() == "none":
        raise ValueError(f"'none' would accept unsigned tokens; accepted: {', '.join(ALGORITHMS)}")
    if value not in ALGORITHMS:
        raise ValueError(f"{value!r} is not accepted; accepted: {', '.join(ALGORITHMS)}")
    return value


def _jwks_uri(value: str) -> str:
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
        _jwks_uri(issuer)
    except ValueError as error:
        raise ValueError(f"without jwks_uri or jwks_file its keys are discovered, but issuer {error}") from None
    if "?" in issuer:
        raise ValueError("without jwks_uri or jwks_file its keys are discovered, but issuer has a query")


def _claim(value: object) -> tuple[str, ...]:
    parts = value.split(".") if isinstance(value, str) else value
    if not isinstance(parts, list) or not parts or not all(isinstance(part, str) and part for part in parts):
        raise ValueError('must be a dotted path such as "realm.roles", or a list of keys where a key holds a dot')
    return tuple(parts)


def _token_type(value: str) -> str:
    return value.lower().removeprefix("application/")


def _pointer(value: str) -> str:
    return parse_pointer(_printable(value)).text


def _condition(value: str) -> str:
    from tidegate.policy.conditions import condition  # compiled here to be checked, and again to be used

    condition(value)
    return value


def _window(value: object) -> float:
    return bounded(parse_duration(value), 1, MAX_WINDOW, "1s to 31d")


def _lease(value: object) -> float:
    return bounded(parse_duration(value), 1, DAY, "1s to 1d")


def _leeway(value: object) -> float:
    return bounded(parse_duration(value), 0, 60, "0s to 60s")


def _lifetime(value: object) -> float:
    return bounded(parse_duration(value), 1, MAX_WINDOW, "1s to 31d")


def _queue_wait(value: object) -> float:
    return bounded(parse_duration(value), 0.001, MAX_WAIT, "1ms to 1s, half of what Envoy gives a decision")


def _spiffe_id(value: str) -> str:
    if spiffe.parse(value) is None:
        raise ValueError(f"{shown(value)} is not a SPIFFE ID: spiffe://trust.domain/path, exactly")
    return value


def _spiffe_ids(value: str) -> str:
    if spiffe.parse(f"{value[:-2]}x" if value.endswith("/**") else value) is None:
        raise ValueError(f"{shown(value)} is not a SPIFFE ID, or one with a final /**: spiffe://trust.domain/path")
    return value


def _heartbeat(value: object) -> float:
    seconds = parse_duration(value)
    return bounded(seconds, 1, 3600, "1s to 1h, or 0s") if seconds else 0.0


def _cache_time(value: object) -> float:
    return bounded(parse_duration(value), 0, 300, "0s to 5m")


def _proof_window(value: object) -> float:
    return bounded(parse_duration(value), 1, 300, "1s to 5m")


def _call_time(value: object) -> float:
    return bounded(parse_duration(value), 0.1, 30, "100ms to 30s")


def _context_lifetime(value: object) -> float:
    return bounded(parse_duration(value), 5, 3600, "5s to 1h")


def _context_reuse(value: object) -> float:
    return bounded(parse_duration(value), 0, 3600, "0s to 1h")


def _score(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise ValueError(f"must be a number above 0 and at most 1, not {shown(value)}")
    return float(value)


def _star_or_list(value: Any) -> str:
    return "star" if isinstance(value, str) else "list"


def entities() -> frozenset[str]:
    """The kinds of value that can be found, and the names of groups. Imported on use: the table is long."""
    from tidegate.filtering.detectors import ENTITIES, GROUPS

    return ENTITIES.union(GROUPS, *GROUPS.values(), NAMES, MARKUP, (SYSTEM_PROMPT, CANARY), UNGROUNDED)


def _list_entities(schema: dict[str, Any]) -> None:
    kind = {key: schema.pop(key) for key in ("type", "pattern", "maxLength")}
    schema["anyOf"] = [{"enum": sorted(entities())}, {**kind, "pattern": LISTED_PATTERN}]


def _text(pattern: str, *examples: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern, "examples": list(examples)})


Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN, max_length=64)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=256), AfterValidator(_printable)]
ModelName = Annotated[str, StringConstraints(min_length=1, max_length=256), AfterValidator(_not_star)]
Role = ModelName
Entity = Annotated[
    str, StringConstraints(pattern=ENTITY_PATTERN, max_length=64), Field(json_schema_extra=_list_entities)
]
Scope = Annotated[str, StringConstraints(pattern=SCOPE_PATTERN, max_length=128)]
HeaderName = Annotated[str, StringConstraints(pattern=HEADER_PATTERN, max_length=64, to_lower=True)]
EnvName = Annotated[str, StringConstraints(pattern=ENV_PATTERN, max_length=128)]
Package = Annotated[str, StringConstraints(pattern=PACKAGE_PATTERN, max_length=128)]
FileName = Annotated[str, StringConstraints(min_length=1, max_length=1024), AfterValidator(_printable)]
Count = Annotated[int, Field(ge=1, le=MAX_COUNT)]
Currency = Annotated[str, StringConstraints(pattern=CURRENCY_PATTERN)]
Expression = Annotated[str, StringConstraints(min_length=1, max_length=512), AfterValidator(_condition)]
Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
ListName = Annotated[str, StringConstraints(pattern=LIST_PATTERN, max_length=48)]
Canary = Annotated[str, StringConstraints(min_length=SHORTEST, max_length=128), AfterValidator(_canary)]
HostPattern = Annotated[str, StringConstraints(min_length=1, max_length=255), AfterValidator(_hosts)]
Domain = Annotated[str, StringConstraints(min_length=1, max_length=253), AfterValidator(_domain)]
Host = Annotated[str, StringConstraints(min_length=1, max_length=253), AfterValidator(_host)]
PathTemplate = Annotated[str, StringConstraints(min_length=1, max_length=1024), AfterValidator(_path)]
ModelSource = Annotated[str, AfterValidator(_source), _text(f"^({_SOURCE.pattern})$", "body.model", "path.model")]
SigningAlgorithm = Annotated[
    str, AfterValidator(_algorithm), WithJsonSchema({"type": "string", "enum": list(ALGORITHMS)})
]
JwksUri = Annotated[str, AfterValidator(_jwks_uri), _text(r"^https?://", "https://id.example.com/jwks.json")]
ServiceUrl = Annotated[str, AfterValidator(_jwks_uri), _text(r"^https?://", "https://safety.example.com")]
TokenType = Annotated[str, StringConstraints(max_length=64), AfterValidator(_token_type)]
ClaimPath = Annotated[
    tuple[str, ...],
    BeforeValidator(_claim),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "minLength": 1}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
    ),
]
Window = Annotated[float, BeforeValidator(_window), _text(DURATION_PATTERN, "60s")]
Lease = Annotated[float, BeforeValidator(_lease), _text(DURATION_PATTERN, "60s")]
Leeway = Annotated[float, BeforeValidator(_leeway), _text(DURATION_PATTERN, "30s")]
QueueWait = Annotated[float, BeforeValidator(_queue_wait), _text(DURATION_PATTERN, "150ms")]
Weight = Annotated[int, Field(ge=1, le=1_000_000)]
Lifetime = Annotated[float, BeforeValidator(_lifetime), _text(DURATION_PATTERN, "1h")]
SpiffeId = Annotated[str, AfterValidator(_spiffe_id), _text(r"^spiffe://", "spiffe://prod.example.com/ns/ml/sa/batch")]
SpiffeIds = Annotated[str, AfterValidator(_spiffe_ids), _text(r"^spiffe://", "spiffe://prod.example.com/ns/ml/**")]
ProofWindow = Annotated[float, BeforeValidator(_proof_window), _text(DURATION_PATTERN, "60s")]
Heartbeat = Annotated[float, BeforeValidator(_heartbeat), _text(DURATION_PATTERN, "15s")]
CallTime = Annotated[float, BeforeValidator(_call_time), _text(DURATION_PATTERN, "2s")]
CacheTime = Annotated[float, BeforeValidator(_cache_time), _text(DURATION_PATTERN, "2s")]
ContextLifetime = Annotated[float, BeforeValidator(_context_lifetime), _text(DURATION_PATTERN, "60s")]
ContextReuse = Annotated[float, BeforeValidator(_context_reuse), _text(DURATION_PATTERN, "30s")]
TokenPrefix = Annotated[str, StringConstraints(pattern=OPAQUE_PATTERN, max_length=64)]
Score = Annotated[
    float,
    BeforeValidator(_score),
    WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "maximum": 1, "examples": [0.7]}),
]
Size = Annotated[
    int,
    BeforeValidator(parse_size),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": 1024**3},
                {"type": "string", "pattern": SIZE_PATTERN, "examples": ["4MiB"]},
            ]
        }
    ),
]

Pointer = Annotated[
    str, StringConstraints(max_length=256), AfterValidator(_pointer), _text(POINTER_PATTERN, "/outputs/*/data")
]

Set = Annotated[list[T], AfterValidator(_unique), Field(json_schema_extra={"uniqueItems": True})]
Some = Annotated[Set[T], Field(min_length=1)]
AllOr = Annotated[
    Annotated[Literal["*"], Tag("star")] | Annotated[Some[T], Tag("list")],
    Discriminator(_star_or_list),
]
Hosts = Annotated[AllOr[Host], BeforeValidator(_lone_star)]


def chosen(words: Sequence[str] | Literal["*"]) -> frozenset[str] | None:
    """A list as a set; None for "*"."""
    return None if words == "*" else frozenset(words)
