"""The vocabulary of the policy document: what a name, a kind of value, a claim path or a size may look like."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    WithJsonSchema,
)

from tidegate.filtering.canaries import CANARY, SHORTEST
from tidegate.filtering.ner.model import NAMES
from tidegate.filtering.prompt_leak import SYSTEM_PROMPT
from tidegate.filtering.references import UNGROUNDED
from tidegate.filtering.selection import parse_pointer
from tidegate.filtering.targets import MARKUP
from tidegate.policy.durations import (
    MAX_COUNT,
    SIZE_PATTERN,
    parse_size,
    shown,
)

T = TypeVar("T", bound=Hashable)

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
REGION_PATTERN = r"^[A-Z]{2}$"
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
    REGION_PATTERN: "a region is its code of ISO 3166-1 in capitals, such as GB",
    LIST_PATTERN: "the name of a deny list is lower-case letters, digits and '_', and begins with a letter",
    PACKAGE_PATTERN: "an installed package is named by letters, digits and '_'",
    ENV_PATTERN: "an environment variable is letters, digits and '_', and begins with no digit",
}

_SOURCE = re.compile(r"body(\.[A-Za-z0-9_-]{1,64}){1,8}|header\.[a-z0-9][a-z0-9-]{0,63}|path\.[a-z_][a-z0-9_]{0,31}")


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


def _canary(value: str) -> str:
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError("must be visible ASCII characters, without spaces")
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


def text_like(pattern: str, *examples: str) -> WithJsonSchema:
    """How the JSON Schema has a text that a validator of ours reads."""
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
Region = Annotated[str, StringConstraints(pattern=REGION_PATTERN)]
Expression = Annotated[str, StringConstraints(min_length=1, max_length=512), AfterValidator(_condition)]
Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
ListName = Annotated[str, StringConstraints(pattern=LIST_PATTERN, max_length=48)]
Canary = Annotated[str, StringConstraints(min_length=SHORTEST, max_length=128), AfterValidator(_canary)]
ModelSource = Annotated[str, AfterValidator(_source), text_like(f"^({_SOURCE.pattern})$", "body.model", "path.model")]
SigningAlgorithm = Annotated[
    str, AfterValidator(_algorithm), WithJsonSchema({"type": "string", "enum": list(ALGORITHMS)})
]
TokenType = Annotated[str, StringConstraints(max_length=64), AfterValidator(_token_type)]
ClaimPath = Annotated[
    tuple[str, ...],
    BeforeValidator(_claim),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "minLength": 1}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
    ),
]
Weight = Annotated[int, Field(ge=1, le=1_000_000)]
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
    str, StringConstraints(max_length=256), AfterValidator(_pointer), text_like(POINTER_PATTERN, "/outputs/*/data")
]

Set = Annotated[list[T], AfterValidator(_unique), Field(json_schema_extra={"uniqueItems": True})]
Some = Annotated[Set[T], Field(min_length=1)]
AllOr = Annotated[
    Annotated[Literal["*"], Tag("star")] | Annotated[Some[T], Tag("list")],
    Discriminator(_star_or_list),
]


def chosen(words: Sequence[str] | Literal["*"]) -> frozenset[str] | None:
    """A list as a set; None for "*"."""
    return None if words == "*" else frozenset(words)
