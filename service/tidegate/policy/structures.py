"""The shape of what the policy document demands of JSON: the structure of answers, and of requests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from tidegate.policy import words
from tidegate.policy.document import Path
from tidegate.policy.strict import Strict


class SchemaSource(Strict):
    """A JSON Schema of draft 2020-12: in a file, or here.

    `$ref` leads to places of the same schema; nothing is fetched. Patterns have no look-around and no back-references.
    What `format` says is checked.
    """

    inline: dict[str, Any] | None = Field(
        default=None,
        alias="schema",
        description="The schema itself. YAML here has no `null`: a schema that needs it stands in a file.",
        json_schema_extra={"type": "object"},
    )
    schema_file: words.FileName | None = Field(
        default=None, description="A JSON file with the schema, relative to this file."
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.inline is None) == (self.schema_file is None):
            raise ValueError("give exactly one of schema and schema_file")
        return self


class Shape(SchemaSource):
    """What a JSON document must look like, and what happens to one that does not."""

    act: Literal["block", "strip", "annotate"] = Field(
        default="block",
        description="block: the response is withheld, with 502, or ends with an error event where some of it has left. "
        "strip: fields that the schema forbids (`additionalProperties: false`, `unevaluatedProperties: false`) are "
        "taken out, and what does not match then is blocked; in a stream the text is held until it is over. "
        "annotate: change nothing, and say so in the receipt, log and metrics.",
    )


class Structure(Strict):
    """What successful answers (2xx) must look like after the rulesets have rewritten them.

    A response of a type that cannot be judged does not match; `act: block` withholds it whatever `unscannable` says.
    """

    body: Shape | None = Field(default=None, description="The whole body, which must then be one JSON document.")
    answer: Shape | None = Field(
        default=None,
        description="The text of the model's answer, which must then be JSON: structured output. Refusals that say "
        "that they are some, and messages that only call tools, are left alone.",
    )
    tools: dict[words.Name, Shape] = Field(
        default={}, description="The arguments of the model's tool calls, by the name of the tool."
    )
    other_tools: Literal["block", "annotate", "pass"] | None = Field(
        default=None,
        description="What happens to calls of other tools. By default block where `tools` has any, pass where not.",
    )


def sources(structure: Structure | None) -> Iterator[tuple[Path, SchemaSource]]:
    """The schemas of a structure, by their place in it."""
    if structure is None:
        return
    for key, shape in (("body", structure.body), ("answer", structure.answer)):
        if shape is not None:
            yield (key,), shape
    for name, shape in structure.tools.items():
        yield ("tools", name), shape
