"""One JSON Schema (draft 2020-12), compiled once, and the question whether a document matches it.

Only this module knows the validator. Patterns are linear (RE2's rules: no look-around, no back-references), nothing is
ever fetched, formats are asserted, and a document is judged in time that its size bounds: the validator's yes or no
remembers what it has judged. Its *explanations* do not, and grow exponentially under a schema that refers to itself, so
that the place of a fault is told only under a schema that does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import jsonschema_rs
import orjson

from tidegate.strict_json import BadJson, parse_value

MAX_DEPTH: Final = 100
"""How deep brackets may nest in a document that is judged."""
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_MAX_SHOWN: Final = 200
_BEGINNINGS: Final = {
    "{": ("object",),
    "[": ("array",),
    '"': ("string",),
    "t": ("boolean",),
    "f": ("boolean",),
    "n": ("null",),
}
_MAX_HOPS: Final = 8
_REFERENCES: Final = ("$ref", "$dynamicRef", "$recursiveRef")


class Schema:
    """A compiled schema. Raises ValueError, with one sentence, for what is none.

    Stateless, and shared between threads. `content` is its canonical text, for the policy's version.
    """

    def __init__(self, document: Any) -> None:
        if not isinstance(document, dict | bool):
            raise ValueError("is not a JSON Schema: it must be an object, true or false")
        self.content: bytes = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
        for dialect in _dialects(document):
            if dialect.rstrip("#") != DIALECT:
                raise ValueError(f"is not of draft 2020-12: $schema is {_shown(dialect)}")
        try:
            self._validator = jsonschema_rs.Draft202012Validator(
                document,
                offline=True,
                validate_formats=True,
                ignore_unknown_formats=False,
                pattern_options=jsonschema_rs.RegexOptions(),
            )
        except jsonschema_rs.ValidationError as error:
            raise ValueError(f"is not a JSON Schema: {_shown(error.message)}{_at(error.instance_path)}") from None
        except (ValueError, jsonschema_rs.ReferencingError) as error:
            raise ValueError(f"is not a JSON Schema: {_shown(str(error))}") from None
        self._explains = not _refers_to_itself(document)
        self._kinds = _kinds(document)

    def fault(self, value: Any) -> str:
        """ "" when a parsed document matches, else the place in the schema that it breaks, "schema" where none is told.

        The value must be as `parse_value` makes it: no lone surrogates, no duplicate keys, bounded depth.
        """
        if self._validator.is_valid(value):
            return ""
        if self._explains:
            try:
                self._validator.validate(value)
            except jsonschema_rs.ValidationError as error:
                return "schema" + _pointer(error.schema_path)
        return "schema"

    @property
    def explains(self) -> bool:
        """Whether it can say what is wrong with a document in time that its size bounds."""
        return self._explains

    def extras(self, value: Any) -> list[tuple[str | int, ...]]:
        """The places of the fields that the schema forbids, where without them a document may match. No place twice."""
        if not self._explains or self._validator.is_valid(value):
            return []
        found = [place for error in self._validator.iter_errors(value) for place in _curable(error, value) or ()]
        return list(dict.fromkeys(found))

    def may_begin(self, char: str) -> bool:
        """Whether JSON text that begins with a character can match, as far as the schema's own `type` tells."""
        kinds = _BEGINNINGS.get(char, ("number", "integer"))
        return self._kinds is None or not self._kinds.isdisjoint(kinds)

    def fault_of_text(self, text: str) -> str:
        """The same for JSON text; for what is none, the word of `BadJson`."""
        try:
            value = parse(text)
        except BadJson as bad:
            return bad.reason
        return self.fault(value)


def parse(text: str) -> Any:
    """The value of a document that is to be judged. Raises BadJson."""
    return parse_value(text.encode("utf-8", "surrogatepass"), max_depth=MAX_DEPTH)


def _curable(error: jsonschema_rs.ValidationError, value: Any) -> list[tuple[str | int, ...]] | None:
    """The fields without which an error would not be; None when no field is to blame."""
    place, told = tuple(error.instance_path), error.kind.as_dict()
    match error.kind.name:
        case "additionalProperties" | "unevaluatedProperties":
            return [(*place, name) for name in told.get("unexpected", ())]
        case "falseSchema" if error.schema_path[-1:] == ["additionalProperties"]:  # which names no property at all
            return [(*place, name) for name in _found(value, place)]
        case "falseSchema" if place and isinstance(place[-1], str):
            return [place]
        case "anyOf" | "oneOf":
            branches = [[_curable(one, value) for one in branch] for branch in told.get("context", ())]
            cures = [[place for cure in branch if cure for place in cure] for branch in branches if None not in branch]
            return min((cure for cure in cures if cure), key=len, default=None)
    return None


def _found(value: Any, place: tuple[str | int, ...]) -> Any:
    for step in place:
        value = value[step]
    return value


def _dialects(node: Any) -> Iterator[str]:
    for name, value in _members(node):
        if name == "$schema" and isinstance(value, str):
            yield value


def _members(node: Any) -> Iterator[tuple[str, Any]]:
    """Every key of every object in a document, with its value."""
    stack = [node]
    while stack:
        top = stack.pop()
        if isinstance(top, dict):
            yield from top.items()
            stack += top.values()
        elif isinstance(top, list):
            stack += top


def _refers_to_itself(document: Any) -> bool:
    """Whether a place of the schema may be reached from inside itself; in doubt it may."""
    open_, closed = set[str](), set[str]()

    def visit(pointer: str, node: Any) -> bool:
        open_.add(pointer)
        for name, target in _members(node):
            if name not in _REFERENCES or not isinstance(target, str) or target in closed:
                continue
            around = target in open_ or any(one.startswith(f"{target}/") for one in open_)
            if name != "$ref" or around or len(open_) > MAX_DEPTH:
                return True
            below = _resolved(document, target)
            if below is None or visit(target, below):
                return True
        open_.discard(pointer)
        closed.add(pointer)
        return False

    return visit("#", document)


def _resolved(document: Any, pointer: str) -> Any:
    """What a reference such as `#/$defs/item` leads to, None where it is no such pointer."""
    if not pointer.startswith("#/"):
        return None
    for step in pointer[2:].split("/"):
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(document, list) and name.isdigit() and int(name) < len(document):
            document = document[int(name)]
        elif isinstance(document, dict) and name in document:
            document = document[name]
        else:
            return None
    return document


def _kinds(document: Any) -> frozenset[str] | None:
    """What a document may be at all by the `type` of its schema, references at the top followed; None where any."""
    node = document
    for _ in range(_MAX_HOPS):
        if not isinstance(node, dict):
            break
        kinds, target = node.get("type"), node.get("$ref")
        if isinstance(kinds, str | list):
            return frozenset([kinds] if isinstance(kinds, str) else kinds)
        node = _resolved(document, target) if isinstance(target, str) else None
    return None


def _pointer(path: list[str | int]) -> str:
    return _shown("".join(f"/{step}" for step in path))


def _at(path: list[str | int]) -> str:
    return f", at {_pointer(path)}" if path else ""


def _shown(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 3]}..."
