"""The document against its schema: every fault as file, line, key and a sentence, and what is left without them.

What is left is validated too, so that dangling names elsewhere are reported in the same run as a misspelt key here.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from tidegate.errors import Problem
from tidegate.policy.document import Path, Tree, dotted
from tidegate.policy.durations import shown
from tidegate.policy.schema import Document, json_schema
from tidegate.policy.words import PATTERNS

MAX_PROBLEMS = 500


@dataclass(slots=True)
class Report:
    """The problems found so far, and where the parts of the checked document stand in the file."""

    file: str
    tree: Tree
    problems: list[Problem] = field(default_factory=list)
    origin: dict[Path, Path] = field(default_factory=dict)
    whole: bool = True

    def at(self, path: Path, message: str, *, key: bool = False) -> None:
        """A problem with the value at `path` of the checked document (`key`: with its key)."""
        self._add(self.origin.get(path, path), message, key=key)

    def _add(self, path: Path, message: str, *, key: bool) -> None:
        known = path
        while known not in self.tree.marks and known:
            known = known[:-1]
        mark = self.tree.marks.get(known)
        line = 1 if mark is None else mark.key if key or known != path else mark.value
        self.problems.append(Problem(self.file, line, dotted(path), message))


def validate(report: Report) -> Document | None:
    """The typed document, without the parts that have problems; None when nothing sensible is left."""
    unusable = set(report.tree.unusable)
    first = True
    while () not in unusable:
        report.origin = {}
        data = _without(report.tree.data, (), (), unusable, report.origin)
        if not first and isinstance(data, dict):
            data.setdefault("version", 1)
        report.whole = first and not unusable
        try:
            return Document.model_validate(data)
        except ValidationError as error:
            for details in error.errors(include_url=False)[:MAX_PROBLEMS]:
                path, rest = _locate(details["loc"], report)
                if first:
                    _explain(details, path, rest, report, unusable)
                unusable.add(report.origin[path])
        first = False
    return None


def suggestion(word: str, known: Collection[str]) -> str:
    """ "; did you mean 'x'?", or nothing when no known word is near."""
    near = difflib.get_close_matches(word[:100], known, n=1, cutoff=0.6) if len(known) <= 500 else []
    return f"; did you mean {near[0]!r}?" if near else ""


def _without(value: Any, here: Path, there: Path, unusable: set[Path], origin: dict[Path, Path]) -> Any:
    """A copy of `value` without the unusable places; `origin` gets where each place of the copy came from."""
    origin[here] = there
    if isinstance(value, dict):
        kept = {key: child for key, child in value.items() if (*there, key) not in unusable}
        return {key: _without(v, (*here, key), (*there, key), unusable, origin) for key, v in kept.items()}
    if isinstance(value, list):
        items = [(index, v) for index, v in enumerate(value) if (*there, index) not in unusable]
        return [_without(v, (*here, new), (*there, index), unusable, origin) for new, (index, v) in enumerate(items)]
    return value


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


def _explain(
    details: ErrorDetails, path: Path, rest: tuple[str | int, ...], report: Report, unusable: set[Path]
) -> None:
    kind, context, value = details["type"], details.get("ctx", {}), details["input"]
    if kind == "missing":
        if (*report.origin[path], rest[-1]) not in unusable:
            report.at((*path, rest[-1]), "required key is missing")
    elif kind == "union_tag_not_found":
        report.at((*path, "algorithm"), "required key is missing")
    elif kind == "union_tag_invalid":
        report.at((*path, "algorithm"), _one_of(context["expected_tags"], context["tag"]))
    elif kind == "extra_forbidden":
        known = _keys(path[:-1], details["loc"])
        word = str(path[-1])
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
        case "int_type":
            return f"must be an integer, not {shown(value)}"
        case "list_type":
            return f"must be a list, not {shown(value)}"
        case "dict_type" | "model_type":
            return f"must be a mapping, not {shown(value)}"
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
    hint = suggestion(value, choices) if isinstance(value, str) else ""
    return f"must be one of {', '.join(choices)}; not {shown(value)}{hint}"


@cache
def _published() -> dict[str, Any]:
    return json_schema()


def _keys(path: Path, loc: tuple[str | int, ...]) -> list[str]:
    """The keys that the published schema knows at a path; `loc` names the variant where there are several."""
    nodes = [_published()]
    for part in path:
        nodes = [child for node in nodes for child in _children(node, part, loc)]
    found = [key for node in nodes for variant in _variants(node, loc) for key in variant.get("properties", {})]
    return list(dict.fromkeys(found))


def _children(node: dict[str, Any], part: str | int, loc: tuple[str | int, ...]) -> list[dict[str, Any]]:
    below = []
    for variant in _variants(node, loc):
        if isinstance(part, int):
            below.append(variant.get("items"))
        else:
            below.append(variant.get("properties", {}).get(part) or variant.get("additionalProperties"))
    return [child for child in below if isinstance(child, dict)]


def _variants(node: dict[str, Any], loc: tuple[str | int, ...]) -> list[dict[str, Any]]:
    if "$ref" in node:
        return _variants(_published()["$defs"][node["$ref"].rpartition("/")[2]], loc)
    if "oneOf" not in node:
        return [node]
    named = [{"$ref": ref} for tag, ref in node.get("discriminator", {}).get("mapping", {}).items() if tag in loc]
    return [variant for choice in named or node["oneOf"] for variant in _variants(choice, loc)]
