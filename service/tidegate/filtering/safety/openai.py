"""OpenAI's moderation endpoint: POST /v1/moderations, many inputs a call.

Its categories and fields are those of OpenAI's API reference for `omni-moderation-latest`. `illicit` has no category
here and is left alone. What it scores `null`, as for an older model, is not asked about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tidegate.filtering.safety.service import Unusable, sendable

URL: Final = "https://api.openai.com/v1/moderations"
MODEL: Final = "omni-moderation-latest"
KINDS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "HATE": ("hate", "hate/threatening"),
        "HARASSMENT": ("harassment", "harassment/threatening"),
        "VIOLENCE": ("violence", "violence/graphic"),
        "SEXUAL": ("sexual", "sexual/minors"),
        "SELF_HARM": ("self-harm", "self-harm/intent", "self-harm/instructions"),
    }
)
"""Our categories, and those of the service that each stands for."""


class _Result(BaseModel):
    model_config = ConfigDict(strict=True)

    flagged: bool
    categories: dict[str, bool | None]
    category_scores: dict[str, float | None]


class _Answer(BaseModel):
    model_config = ConfigDict(strict=True)

    results: list[_Result] = Field(min_length=1)


class OpenAiModeration:
    """`thresholds` are scores by our category, 0 to 1; a category without one is what the service flags."""

    name = "openai"
    entities = frozenset(KINDS)
    most = 32

    def __init__(self, key: str, *, url: str = URL, model: str = MODEL, thresholds: Mapping[str, float] | None = None):
        self.url = url
        self.headers: Mapping[str, str] = {"authorization": f"Bearer {key}"}
        self._model = model
        self._thresholds = dict(thresholds or {})

    def question(self, passages: Sequence[str]) -> bytes:
        """The body of a call."""
        return orjson.dumps({"model": self._model, "input": [sendable(passage) for passage in passages]})

    def verdicts(self, answer: bytes, *, count: int) -> Sequence[Sequence[str]]:
        """The categories of each passage. Raises Unusable."""
        try:
            results = _Answer.model_validate_json(answer).results
        except ValidationError:
            raise Unusable("not a list of results") from None
        if len(results) != count:
            raise Unusable(f"{len(results)} results for {count} inputs")
        return [self._categories(result) for result in results]

    def _categories(self, result: _Result) -> list[str]:
        return [category for category, kinds in KINDS.items() if self._falls(result, category, kinds)]

    def _falls(self, result: _Result, category: str, kinds: Sequence[str]) -> bool:
        if kinds[0] not in result.categories or kinds[0] not in result.category_scores:
            raise Unusable(f"no {kinds[0]} in the result")
        least = self._thresholds.get(category)
        if least is None:
            return any(result.categories.get(kind) for kind in kinds)
        return any((result.category_scores.get(kind) or 0.0) >= least for kind in kinds)
