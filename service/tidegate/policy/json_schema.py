"""The JSON Schema that is published of the policy document: `tidegate policy schema`."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import DictSchema, NullableSchema, WithDefaultSchema

from tidegate.policy.durations import DURATION_PATTERN, REFILL_PATTERN, duration_text
from tidegate.policy.schema import Document
from tidegate.policy.strict import Strict

SCHEMA_ID = "urn:tidegate:policy:1"


class _Schema(GenerateJsonSchema):
    """Optional keys may be left out, never null; a name that breaks its pattern is wrong; defaults are notations."""

    def nullable_schema(self, schema: NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def dict_schema(self, schema: DictSchema) -> JsonSchemaValue:
        written = super().dict_schema(schema)
        for pattern, value in written.pop("patternProperties", {}).items():
            written["propertyNames"] = {"pattern": pattern, **written.get("propertyNames", {})}
            written["additionalProperties"] = value
        return written

    def default_schema(self, schema: WithDefaultSchema) -> JsonSchemaValue:
        if schema.get("default") is None:
            return self.generate_inner(schema["schema"])
        written = super().default_schema(schema)
        if written.get("pattern") == DURATION_PATTERN:
            written["default"] = duration_text(written["default"])
        if written.get("pattern") == REFILL_PATTERN:
            tokens, period = written["default"]
            written["default"] = f"{tokens}/{duration_text(period)}"
        return written


def json_schema(shape: type[Strict] = Document, schema_id: str = SCHEMA_ID) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of the document, or of another file, for editors and for other checkers."""
    schema = shape.model_json_schema(by_alias=True, schema_generator=_Schema)
    return {"$schema": _Schema.schema_dialect, "$id": schema_id, **schema}
