"""The section on names in the policy document, and the spotter that comes of it."""

from __future__ import annotations

from pydantic import Field

from tidegate.filtering.ner.model import NAMES
from tidegate.filtering.ner.open import open_names
from tidegate.filtering.ner.pipeline import DEFAULT
from tidegate.filtering.spotting import Spotter
from tidegate.policy import words
from tidegate.policy.document import Path
from tidegate.policy.strict import Strict


class Names(Strict):
    """How names are found: PERSON, LOCATION and ORGANIZATION in `detect`. Without it, by the default pipeline."""

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
    try:
        spotter = open_names(pipeline=given.pipeline)
    except ValueError as error:
        asking = next(iter(wanted.values())) if section is None else ("names", "pipeline")
        raise NamesMissing(asking, str(error)) from None
    for entity, path in wanted.items():
        if entity not in spotter.entities:
            raise NamesMissing(path, f"{given.pipeline} does not find {entity}")
    return spotter
