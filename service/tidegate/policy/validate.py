"""The document against its schema: every fault as file, line, key and a sentence, and what is left without them.

What is left is validated too, with stand-ins for required values that are missing, so that dangling names elsewhere
are reported in the same run as a misspelt key here.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from tidegate.errors import Problem
from tidegate.policy.document import Path, Tree, dotted
from tidegate.policy.durations import shown
from tidegate.policy.json_schema import json_schema
from tidegate.policy.schema import Document
from tidegate.policy.strict import Strict
from tidegate.policy.words import PATTERNS

S = TypeVar("S", bound=Strict)

MAX_PROBLEMS = 500

_STAND_INS: dict[str, Any] = {
    "version": 1,
    "name": "_",
    "issuer": "_",
    "audiences": ["_"],
    "capacity": 1,
    "refill": "1/1s",
    "limit": 1,
    "window": "1s",
    "period": "day",
    "detect": ["_"],
    "act": "redact",
    "role": "_",
    "endpoints": "*",
    "owner": "_",
    "match": {"hosts": "*", "path": "/", "methods": ["GET"]},
    "hosts": "*",
    "path": "/",
    "methods": ["GET"],
    "from": "header.x",
    "allowed": {"_": "*"},
    "currency": "XXX",
    "prompt": 0,
    "completion": 0,
    "expect": {"effect": "deny"},
    "effect": "deny",
}


@dataclass(slots=True)
class Report:
    """The problems found so far, and where the parts of the checked document stand in the file.

    `whole` is false when the checked document is only what was left of the file's; `shape` is what it should be.
    """

    file: str
    tree: Tree
    problems: list[Problem] = field(default_factory=list)
    origin: dict[Path, Path] = field(default_factory=dict)
    whole: bool = True
    shape: type[Strict] = Document

    def at(self, path: Path, message: str, *, key: bool = False) -> None:
        """A problem with the value at `path` of the checked document (`key`: with its key). Silent on stand-ins."""
        if path not in self.origin:
            if not self.whole:
                return
            while path not in self.origin:  # a default: the part that it belongs to stands for it
                path, key = path[:-1], True
        path = self.origin[path]
        mark = self.tree.marks[path]
        self.problems.append(Problem(self.file, mark.key if key else mark.value, dotted(path), message))

    def missing(self, parent: Path, key: str) -> None:
        """A required key is not there."""
        path = self.origin[parent]
        self.problems.append(
            Problem(self.file, self.tree.marks[path].key, dotted((*path, key)), "required key is missing")
        )


def validate(report: Report) -> Document | None:
    """The typed document, without the parts that have problems; None when nothing sensible is left."""
    return validate_as(report, Document)


def validate_as(report: Report, shape: type[S]) -> S | None:
    """`validate` for a file of another shape."""
    report.shape = shape
    left = _Left(set(report.tree.unusable))
    first = True
    while () not in left.unusable:
        report.origin = {}
        data = left.copy(report.tree.data, (), (), report.origin)
        report.whole = first and not left.unusable
        try:
            return shape.model_validate(data)
        except ValidationError as error:
            for details in error.errors(include_url=False)[:MAX_PROBLEMS]:
                path, rest = _locate(details["loc"], report)
                if first:
                    _explain(details, path, rest, report)
                left.set_aside(details["type"], report.origin[path], rest)
        first = False
    return None


@dataclass(slots=True)
class _Left:
    """What may still be used of a document: all but the `unusable` places, and stand-ins by the place they are in."""

    unusable: set[Path]
    stand_ins: dict[Path, dict[str, Any]] = field(default_factory=dict)

    def set_aside(self, kind: str, path: Path, rest: tuple[str | int, ...]) -> None:
        """Leave out what an error is about; where that is a missing key, put a stand-in there if one would do."""
        key = str(rest[-1]) if rest else ""
        if kind == "missing" and key in _STAND_INS:
            self.stand_ins.setdefault(path, {})[key] = _STAND_INS[key]
        else:
            self.unusable.add(path)

    def copy(self, value: Any, here: Path, there: Path, origin: dict[Path, Path]) -> Any:
        """A copy of what is left of `value`; `origin` gets where each place of the copy came from."""
        origin[here] = there
        if isinstance(value, dict):
            kept = {key: v for key, v in value.items() if (*there, key) not in self.unusable}
            copied = {key: self.copy(v, (*here, key), (*there, key), origin) for key, v in kept.items()}
            return copied | self.stand_ins.get(there, {})
        if isinstance(value, list):
            items = [(index, v) for index, v in enumerate(value) if (*there, index) not in self.unusable]
            return [self.copy(v, (*here, new), (*there, old), origin) for new, (old, v) in enumerate(items)]
        return value


def suggestion(word: str, known: Collection[str]) -> str:
    """ "; did you mean 'x'?", or nothing when no known word is near."""
    near = difflib.get_close_matches(word[:100], known, n=1, cutoff=0.6) if len(known) <= 1000 else []
    return f"; did you mean {near[0]!r}?" if near else ""


def _locate(loc: tuple[str | int, ...], report: Report) -> tuple[Path, tuple[str | int, ...]]:
    """Pydantic's location as the longest path that the document has, and what remains of it."""
    path: Path = ()
    rest: list[str | int] = []
    for part in loc:
        if (*path, part) in report.origin and not rest[1:]:
            path, rest = (*path, part), []
        else:
            rest.append(part)
    return path, tuple(rest)


def _explain(details: ErrorDetails, path: Path, rest: tuple[str | int, ...], report: Report) -> None:
    kind, context, value = details["type"], details.get("ctx", {}), details["input"]
    if kind == "missing":
        if (*report.origin[path], rest[-1]) not in report.tree.unusable:
            report.missing(path, str(rest[-1]))
    elif kind == "union_tag_not_found":
        report.missing(path, "algorithm")
    elif kind == "union_tag_invalid":
        report.at((*path, "algorithm"), _one_of(context["expected_tags"], context["tag"]))
    elif kind == "extra_forbidden":
        published = _published(report.shape)
        nodes = _nodes(published, path[:-1], details["loc"])
        variants = [variant for node in nodes for variant in _variants(published, node, details["loc"])]
        known = list(dict.fromkeys(key for variant in variants for key in variant.get("properties", {})))
        word = str(path[-1])
        owners = [
            tag for node in nodes for tag, variant in _tagged(published, node) if word in variant.get("properties", {})
        ]
        if owners:
            message = f", which belongs to {' and '.join(owners)}; known here: {', '.join(known)}"
        else:
            message = suggestion(word, known) or f"; known here: {', '.join(known)}"
        report.at(path, f"unknown key {shown(word)}{message}", key=True)
    else:
        report.at(path, _message(kind, context, value, details["msg"]), key="[key]" in rest)


def _message(kind: str, context: dict[str, Any], value: Any, fallback: str) -> str:
    match kind:
        case "value_error":
            return str(context["error"])
        case "literal_error" if context["expected"] == "'*'":
            return f'must be a list, or "*"; not {shown(value)}'
        case "literal_error":
            return _one_of(context["expected"], value)
        case "string_type":
            return f"must be a string, not {shown(value)}; quote it if it is one"
        case "bool_type":
            return f"must be true or false, not {shown(value)}"
        case "int_type":
            return f"must be an integer, not {shown(value)}"
        case "float_type":
            return f"must be a number, not {shown(value)}"
        case "list_type":
            return f"must be a list, not {shown(value)}"
        case "dict_type" | "model_type":
            return f"must be a mapping, not {shown(value)}"
        case "string_too_short" if context["min_length"] > 1:
            return f"must not be shorter than {context['min_length']} characters"
        case "too_short" | "string_too_short":
            return "must not be empty"
        case "string_too_long":
            return f"must not be longer than {context['max_length']} characters"
        case "greater_than_equal":
            return f"must be at least {context['ge']}, not {shown(value)}"
        case "less_than_equal":
            return f"must be at most {context['le']}, not {shown(value)}"
        case "string_pattern_mismatch":
            return f"{shown(value)}: {PATTERNS.get(context['pattern'], context['pattern'])}"
    return fallback


def _one_of(expected: str, value: Any) -> str:
    choices = [word.strip(" '") for word in expected.replace(" or ", ", ").split(",")]
    if len(choices) == 1:
        return f"must be {expected}, not {shown(value)}"
    hint = suggestion(value, choices) if isinstance(value, str) else ""
    return f"must be one of {', '.join(choices)}; not {shown(value)}{hint}"


@cache
def _published(shape: type[Strict]) -> dict[str, Any]:
    return json_schema(shape)


def _nodes(published: dict[str, Any], path: Path, loc: tuple[str | int, ...]) -> list[dict[str, Any]]:
    """What the published schema has at a path; `loc` names the variant where there are several."""
    nodes = [published]
    for part in path:
        nodes = [child for node in nodes for child in _children(published, node, part, loc)]
    return nodes


def _children(
    published: dict[str, Any], node: dict[str, Any], part: str | int, loc: tuple[str | int, ...]
) -> list[dict[str, Any]]:
    below = []
    for variant in _variants(published, node, loc):
        if isinstance(part, int):
            below.append(variant.get("items"))
        else:
            below.append(variant.get("properties", {}).get(part) or variant.get("additionalProperties"))
    return [child for child in below if isinstance(child, dict)]


def _variants(published: dict[str, Any], node: dict[str, Any], loc: tuple[str | int, ...]) -> list[dict[str, Any]]:
    if "$ref" in node:
        return _variants(published, published["$defs"][node["$ref"].rpartition("/")[2]], loc)
    if "oneOf" not in node:
        return [node]
    named = [variant for tag, variant in _tagged(published, node) if tag in loc]
    return named or [variant for choice in node["oneOf"] for variant in _variants(published, choice, loc)]


def _tagged(published: dict[str, Any], node: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The variants of a node by the word that chooses them."""
    mapping = node.get("discriminator", {}).get("mapping", {})
    return [(tag, published["$defs"][ref.rpartition("/")[2]]) for tag, ref in mapping.items()]
