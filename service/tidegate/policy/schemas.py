"""The JSON Schemas that a policy names or holds, compiled when it is loaded."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path as File

from tidegate.filtering.structure.schema import Schema
from tidegate.policy.document import Path
from tidegate.policy.files import read_whole
from tidegate.policy.requests import request_sources
from tidegate.policy.schema import Document
from tidegate.policy.structures import SchemaSource, sources
from tidegate.policy.validate import Report
from tidegate.strict_json import BadJson, parse_value

MAX_BYTES = 1024 * 1024
_MAX_DEPTH = 200

Schemas = Mapping[Path, Schema]
"""Compiled schemas by the place of their source in the document."""


def schema_sources(document: Document) -> Iterator[tuple[Path, SchemaSource]]:
    """Every place of the document with a schema."""
    for name, endpoint in document.endpoints.items():
        for path, source in sources(endpoint.structure):
            yield ("endpoints", name, "structure", *path), source
        for path, source in request_sources(endpoint.request):
            yield ("endpoints", name, "request", *path), source


def read_schemas(document: Document, base: File, report: Report) -> Schemas:
    """Compile them all; those that cannot be used are problems of the report."""
    found: dict[Path, Schema] = {}
    for path, source in schema_sources(document):
        key = "schema" if source.schema_file is None else "schema_file"
        try:
            found[path] = compiled = _compiled(source, base)
            if getattr(source, "act", "") == "strip" and not compiled.explains:
                report.at((*path, "act"), "strip needs a schema that does not refer to itself")
        except ValueError as error:
            report.at((*path, key), str(error))
    return found


def _compiled(source: SchemaSource, base: File) -> Schema:
    if source.schema_file is None:
        return Schema(json.loads(json.dumps(source.inline, allow_nan=False)))
    file = base / source.schema_file
    content = read_whole(file, MAX_BYTES)
    try:
        return Schema(parse_value(content, max_depth=_MAX_DEPTH))
    except BadJson as bad:
        raise ValueError(f"{str(file)!r} is not JSON: {bad.reason}") from None
    except ValueError as error:
        raise ValueError(f"{str(file)!r} {error}") from None
