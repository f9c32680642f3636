"""docs/policy.md, the reference of the policy document: made from the schema, checked against it, or written anew."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from tidegate.policy.amounts import AMOUNT_PATTERN
from tidegate.policy.durations import DURATION_PATTERN, REFILL_PATTERN, SIZE_PATTERN
from tidegate.policy.json_schema import json_schema
from tidegate.policy.words import NAME_PATTERN

from tests.pages import DOCS, held

FILE = DOCS / "policy.md"
NOTATIONS = {
    NAME_PATTERN: "[name](#notations)",
    DURATION_PATTERN: "[duration](#notations)",
    REFILL_PATTERN: "[refill](#notations)",
    SIZE_PATTERN: "[size](#notations)",
    AMOUNT_PATTERN: "[amount](#notations)",
}
MOST_LISTED = 24
INTRODUCTION = """\
# The policy document

Made from the schema by `python -m tests.policy_reference --write`; a test holds it to that.

One YAML file, UTF-8, without anchors, aliases or tags. A key that is not named here is a fault, and so is a value of
the wrong type: nothing is converted silently. `tidegate policy check FILE` names every fault by file, line and key,
`tidegate policy schema` prints the JSON Schema, and [the demo's policy](../service/tidegate/demo/policy.yaml) is an
example. A key without a default is left out where it is not needed; a part that is left out has its keys' defaults.

## Notations

| notation | how it is written |
| --- | --- |
| name | letters, digits, `_`, `-` and `.`, beginning with a letter, a digit or `_`; at most 64 |
| duration | a whole number and `ms`, `s`, `m`, `h` or `d`: `150ms`, `60s`, `1d` |
| refill | tokens per duration: `20/60s` |
| size | a number of bytes, or with a unit: `B`, `KiB`, `MiB`, `GiB` |
| amount | money: a decimal with at most six places, in quotes or not: `"12.50"`, `0.15`, `50` |
"""


def reference() -> str:
    """The whole page."""
    schema = json_schema()
    sections = [
        _section(title, [path for path, named in _places(schema) if named == title], part)
        for title, part in _parts(schema).items()
    ]
    return "\n".join([INTRODUCTION, *sections])


def _parts(schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The document and what it is made of, in the order in which a reader of the document meets them."""
    met = dict.fromkeys(named for _, named in _places(schema))
    return {"Document": schema} | {name: schema["$defs"][name] for name in met}


def _places(schema: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Where each part stands: its path in the document, with <name> for a key that is chosen, and the part's name."""

    def walk(node: Any, path: str) -> Iterator[tuple[str, str]]:
        if "$ref" in node:
            name = node["$ref"].rpartition("/")[2]
            yield path, name
            node = schema["$defs"][name]
        for key, value in node.get("properties", {}).items():
            yield from walk(value, f"{path}.{key}" if path else key)
        if isinstance(node.get("additionalProperties"), dict):
            yield from walk(node["additionalProperties"], f"{path}.<name>")
        if "items" in node:
            yield from walk(node["items"], f"{path}[]")
        for choice in (*node.get("oneOf", ()), *node.get("anyOf", ())):
            yield from walk(choice, path)

    yield from walk(schema, "")


def _section(title: str, paths: list[str], part: dict[str, Any]) -> str:
    where = f"At {', '.join(f'`{path}`' for path in paths)}. " if paths else ""
    required = part.get("required", ())
    rows = [
        f"| `{key}` | {_cell(value['description'])} | {_cell(_values(value))} | {_default(key, value, required)} |"
        for key, value in part["properties"].items()
    ]
    head = ["| key | meaning | values | default |", "| --- | --- | --- | --- |"]
    return "\n".join([f"## {title}", "", f"{where}{_cell(part['description'])}", "", *head, *rows, ""])


def _default(key: str, value: dict[str, Any], required: Any) -> str:
    if key in required:
        return "required"
    if "default" not in value:
        return ""
    return f"`{json.dumps(value['default'])}`"


def _values(value: dict[str, Any]) -> str:
    """Type and bounds in words."""
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    choices = (*value.get("oneOf", ()), *value.get("anyOf", ()))
    if choices and len(choices[0].get("enum", ())) > MOST_LISTED:
        return _values(choices[0])
    if any(choice.get("pattern") == AMOUNT_PATTERN for choice in choices):
        return NOTATIONS[AMOUNT_PATTERN]
    if choices:
        return " or ".join(dict.fromkeys(_values(choice) for choice in choices))
    if "const" in value:
        return f"`{json.dumps(value['const'])}`"
    if len(value.get("enum", ())) > MOST_LISTED:
        return "a name of [detectors.md](detectors.md)"
    if "enum" in value:
        return ", ".join(f"`{word}`" for word in value["enum"])
    if value["type"] == "boolean":
        return "`true`, `false`"
    if value["type"] == "number" and {"exclusiveMinimum", "maximum"} <= value.keys():
        return f"number, above {value['exclusiveMinimum']} and at most {value['maximum']}"
    if value["type"] == "number":
        return f"number, {_range(value, 'minimum', 'maximum')}"
    if value["type"] == "integer":
        return f"integer, {_range(value, 'minimum', 'maximum')}"
    if value["type"] == "array":
        least = "at least one, " if value.get("minItems") else ""
        once = "each once, " if value.get("uniqueItems") else ""
        return f"list ({least}{once}of) {_values(value['items'])}".replace(", of)", ") of").replace("(of)", "of")
    if value["type"] == "object" and "propertyNames" not in value:
        return "mapping, of JSON Schema's keywords"
    if value["type"] == "object":
        kind = _values({"type": "string", **value["propertyNames"]})
        kind = f"({kind})" if "enum" in value["propertyNames"] else kind.partition(",")[0]
        return f"mapping of {kind} to {_values(value['additionalProperties'])}"
    return _text(value)


def _text(value: dict[str, Any]) -> str:
    pattern = value.get("pattern", "")
    if pattern in NOTATIONS:
        return NOTATIONS[pattern]
    length = _range(value, "minLength", "maxLength")
    return f"string, {length} characters" if length else "string"


def _range(value: dict[str, Any], least: str, most: str) -> str:
    if most not in value:
        return ""
    return f"{value.get(least, 1 if 'pattern' in value else 0)} to {value[most]}"


def _cell(text: str) -> str:
    """Text in a table of Markdown, which would take <key> for a tag."""
    parts = text.replace("|", "\\|").split("`")
    parts[::2] = [part.replace("<", "&lt;") for part in parts[::2]]
    return "`".join(parts)


def main(arguments: Sequence[str] | None = None) -> int:
    """See `held`."""
    return held(FILE, reference(), "tests.policy_reference", arguments)


if __name__ == "__main__":
    sys.exit(main())
