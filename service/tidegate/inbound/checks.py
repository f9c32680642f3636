"""What an endpoint wants checked of a request before a model reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tidegate.filtering.ruleset import Ruleset
from tidegate.filtering.structure.demand import Shape

Act = Literal["annotate", "block"]


@dataclass(frozen=True, eq=False)
class RequestChecks:
    """The checks of one endpoint. `max_size` is bytes, of a compressed body also those that it holds.

    `schema` is what a JSON body must match, None for anything. `rules` say what prompts must not hold, with no acts but
    ANNOTATE and BLOCK. `other_types` is about bodies that are neither JSON nor text. With `shadow` nothing refuses.
    `tells` is whether the model's side learns what was found.
    """

    max_size: int
    schema: Shape | None = None
    rules: tuple[Ruleset, ...] = ()
    other_types: Literal["refuse", "pass"] = "refuse"
    compressed: Literal["refuse", "decode"] = "refuse"
    shadow: bool = False
    tells: bool = False
