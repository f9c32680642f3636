"""What is found in code and technical prose that holds no value: less than one in 10,000 characters."""

from __future__ import annotations

from collections import Counter

import pytest
from tidegate.filtering.rewriter import TextRewriter
from tidegate.filtering.ruleset import Action

from tests.filtering.corpus import PLANS
from tests.filtering.technical import Text

SIZE = 100_000


@pytest.mark.parametrize("seed", range(3))
def test_code_and_technical_prose_stay_clean(seed: int) -> None:
    rewriter = TextRewriter(PLANS[Action.REDACT])
    text = Text(seed).make(SIZE)
    rewriter.feed(text)
    rewriter.finish()
    found = Counter({entity: count for (entity, _), count in rewriter.findings.items()})
    assert found.total() < len(text) / 10_000, found


def test_the_same_seed_makes_the_same_text() -> None:
    assert Text(7).make(2000) == Text(7).make(2000) != Text(8).make(2000)
