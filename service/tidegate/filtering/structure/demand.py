"""What an endpoint demands of the structure of its answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final, Literal

from tidegate.filtering.structure.schema import Schema

ENTITY: Final = "STRUCTURE"
"""What a broken demand is called in receipts, metrics and records."""

Act = Literal["annotate", "strip", "block"]


@dataclass(frozen=True, slots=True)
class Shape:
    """A schema, and what happens to what does not match it."""

    schema: Schema
    act: Act = "block"


@dataclass(frozen=True, slots=True, eq=False)
class Structure:
    """One endpoint's demands: on the whole body, on the text of the model's answer, on the arguments of tool calls.

    `others` is what happens to a call of a tool that `tools` does not name; None where that is nobody's concern.
    """

    body: Shape | None = None
    answer: Shape | None = None
    tools: Mapping[str, Shape] = field(default_factory=lambda: MappingProxyType({}))
    others: Act | None = None

    @property
    def inside(self) -> bool:
        """Whether something is demanded of what stands in the body."""
        return self.answer is not None or bool(self.tools)

    @property
    def enforced(self) -> bool:
        """Whether anything may change or withhold a body."""
        acts = [shape.act for shape in (self.body, self.answer, *self.tools.values()) if shape is not None]
        return any(act != "annotate" for act in (*acts, self.others or "annotate"))

    def in_shadow(self) -> Structure:
        """The same, with nothing done about what is broken."""
        body, answer = (None if one is None else replace(one, act="annotate") for one in (self.body, self.answer))
        tools = {name: replace(shape, act="annotate") for name, shape in self.tools.items()}
        return Structure(body, answer, MappingProxyType(tools), None if self.others is None else "annotate")
