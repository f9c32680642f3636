"""The section on names in the policy document, and the spotter that comes of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from tidegate.filtering.ner.model import NAMES
from tidegate.filtering.ner.open import open_names
from tidegate.filtering.ner.pipeline import DEFAULT
from tidegate.filtering.ner.pipeline import load as load_pipeline
from tidegate.filtering.spotting import Spotter
from tidegate.policy import words
from tidegate.policy.document import Path
from tidegate.policy.strict import Strict


class Names(Strict):
    """How names are found: PERSON, LOCATION and ORGANIZATION in `detect`. Without it, by the default pipeline."""

    models: Literal["spacy", "rampart", "either", "both"] = Field(
        default="spacy",
        description="Which models read the text. rampart: a small model of personal data, which knows people and "
        "places and needs the extra [rampart]; either: what one of the two finds; both: what both find, and of a kind "
        "that one alone knows what that one finds.",
    )
    pipeline: words.Package = Field(
        default=DEFAULT,
        description="The spaCy pipeline that reads the text, by the name of its installed package: any that finds "
        "names, in whatever language.",
    )


class NamesMissing(ValueError):
    """What was asked for cannot be had; `path` is the key that asks for it."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(message)
        self.path = path


def names_spotter(section: Names | None, asked: dict[str, Path]) -> Spotter | None:
    """The spotter of names; None where there is no section and no rule asks for one.

    `asked` is where the first rule stands that names each kind. Raises NamesMissing.
    """
    wanted = {entity: path for entity, path in asked.items() if entity in NAMES}
    if section is None and not wanted:
        return None
    given = Names() if section is None else section
    asking = next(iter(wanted.values()), ())
    if given.models != "rampart":
        with _missing(asking if section is None else ("names", "pipeline")):
            load_pipeline(given.pipeline)
    with _missing(asking if section is None else ("names", "models")):
        spotter = open_names(given.models, pipeline=given.pipeline)
    for entity, path in wanted.items():
        if entity not in spotter.entities:
            found = ", ".join(sorted(spotter.entities))
            raise NamesMissing(path, f"{entity} is not found by what `names` chooses, which finds {found}")
    return spotter


@contextlib.contextmanager
def _missing(path: Path) -> Iterator[None]:
    """A ValueError inside becomes a NamesMissing at that key."""
    try:
        yield
    except ValueError as error:
        raise NamesMissing(path, str(error)) from None
