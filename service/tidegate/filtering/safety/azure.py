"""Azure AI Content Safety: POST /contentsafety/text:analyze, one text a call, severities 0, 2, 4 and 6.

Its categories and fields are those of the REST reference, version 2024-09-01. Blocklists are not used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tidegate.filtering.safety.service import Unusable, sendable

VERSION: Final = "2024-09-01"
KINDS: Final[Mapping[str, str]] = MappingProxyType(
    {"HATE": "Hate", "SELF_HARM": "SelfHarm", "SEXUAL": "Sexual", "VIOLENCE": "Violence"}
)
"""Our categories, and what the service calls them."""
SEVERITY: Final = 4
"""From which severity on a passage falls under a category: "medium", the service's own default in its filters."""


class _Analysis(BaseModel):
    model_config = ConfigDict(strict=True)

    category: str
    severity: int = Field(ge=0, le=7)


class _Answer(BaseModel):
    model_config = ConfigDict(strict=True)

    categoriesAnalysis: list[_Analysis]  # noqa: N815 (the service's name)


class AzureContentSafety:
    """`endpoint` is the resource's address; `severities` are by our category, 2, 4 or 6."""

    name = "azure"
    entities = frozenset(KINDS)
    most = 1

    def __init__(self, key: str, *, endpoint: str, severities: Mapping[str, int] | None = None) -> None:
        self.url = f"{endpoint.rstrip('/')}/contentsafety/text:analyze?api-version={VERSION}"
        self.headers: Mapping[str, str] = {"ocp-apim-subscription-key": key}
        self._severities = {**dict.fromkeys(KINDS, SEVERITY), **(severities or {})}

    def question(self, passages: Sequence[str]) -> bytes:
        """The body of a call."""
        (passage,) = passages
        asked = {"text": sendable(passage), "categories": list(KINDS.values()), "outputType": "FourSeverityLevels"}
        return orjson.dumps(asked)

    def verdicts(self, answer: bytes, *, count: int) -> Sequence[Sequence[str]]:
        """The categories of the passage. Raises Unusable."""
        try:
            analyses = _Answer.model_validate_json(answer).categoriesAnalysis
        except ValidationError:
            raise Unusable("no analysis of categories") from None
        found = {analysis.category: analysis.severity for analysis in analyses}
        if len(found) != len(analyses) or not found.keys() >= set(KINDS.values()):
            raise Unusable("not one analysis for each category")
        return [[name for name, kind in KINDS.items() if found[kind] >= self._severities[name]]]
