"""The spotter that judges by the model in the package."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from tidegate.filtering.passages import LONGEST
from tidegate.filtering.safety.categories import CATEGORIES
from tidegate.filtering.safety.model import Model, shipped
from tidegate.filtering.safety.passage import PassageReading, Verdict
from tidegate.filtering.spotting import Effort

THRESHOLDS: Final[Mapping[str, float]] = MappingProxyType(dict.fromkeys(CATEGORIES, 0.4))
"""The probability from which a passage falls under a category: about the best F1 on what was held out of training, and
fewer than one false finding in 10,000 characters of code and technical prose, all together (docs/safety.md)."""

_FEW: Final = 4  # characters of passages of which there are so many in a text, and so few in all, that they are known
_REMEMBERED: Final = 4096


class Classifier:
    """`thresholds` are probabilities by category, between 0 and 1; a category without one has that of THRESHOLDS."""

    effort = Effort.QUICK
    cap = LONGEST
    entities = frozenset(CATEGORIES)

    def __init__(self, thresholds: Mapping[str, float] | None = None, *, model: Model | None = None) -> None:
        chosen = {**THRESHOLDS, **(thresholds or {})}
        self._least = [(name, math.log(chosen[name] / (1 - chosen[name]))) for name in CATEGORIES]
        self._lowest = min(least for _, least in self._least)
        self._model = model or shipped()
        self._of_few = lru_cache(maxsize=_REMEMBERED)(self._told)

    def open(self) -> PassageReading:
        """Begin with a text."""
        return PassageReading("classifier", self.judge)

    def judge(self, passages: Sequence[str]) -> Sequence[Verdict]:
        """A verdict of each passage."""
        return [Verdict(self._categories(passage)) for passage in passages]

    def _categories(self, passage: str) -> Sequence[str]:
        return self._of_few(passage) if len(passage) <= _FEW else self._told(passage)

    def _told(self, passage: str) -> Sequence[str]:
        odds = self._model.odds(passage)
        if max(odds) < self._lowest:  # nearly every one
            return []
        return [name for (name, least), found in zip(self._least, odds, strict=True) if found >= least]
