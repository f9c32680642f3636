"""What an endpoint wants checked of a request before a model reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tidegate.filtering.ruleset import Ruleset
from tidegate.filtering.structure.demand import Shape
from tidegate.inbound.prompts import Role

Act = Literal["annotate", "block"]


@dataclass(frozen=True, slots=True)
class Injection:
    """From which score on a request is an attempt to take the model over, and whose texts count."""

    threshold: float
    act: Act
    roles: frozenset[Role]


@dataclass(frozen=True, eq=False)
class RequestChecks:
    """The checks of one endpoint. `max_size` is bytes, of a compressed body also those that it holds.

    `schema` is what a JSON body must match, None for anything. `rules` say what prompts must not hold, with no acts but
    ANNOTATE and BLOCK; `injection` is None where nothing is scored. `other_types` is about bodies that are neither JSON
    nor text. With `shadow` nothing refuses. `tells` is whether the model's side learns what was found.
    """

    max_size: int
    schema: Shape | None = None
    rules: tuple[Ruleset, ...] = ()
    injection: Injection | None = None
    other_types: Literal["refuse", "pass"] = "refuse"
    compressed: Literal["refuse", "decode"] = "refuse"
    shadow: bool = False
    tells: bool = False
