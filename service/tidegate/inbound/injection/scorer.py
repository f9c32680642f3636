"""How much the prompts of a request try to take the model over: a score for each who speaks in it.

The texts of one speaker are judged as one, in the order in which they stand, so that an attempt that is spread over two
of them is seen, and many short texts cost no more than one long one. Views that are worth nothing to a reader (rot13,
backwards, digits for letters) are only judged where a family of patterns is found in them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from tidegate.inbound.injection.model import Worst, any_hit, marked, model
from tidegate.inbound.injection.views import views
from tidegate.inbound.prompts import Prompt, Role

_BETWEEN: Final = "\u241e"  # the symbol for a record separator: stands between texts, and is taken out of them
_PARTED: Final = f" {_BETWEEN} "


class Score(NamedTuple):
    """0.0 to 1.0, and where the text stands that it is of; "" where that is not known."""

    value: float
    where: str


def score_text(text: str) -> float:
    """The score of one text, 0.0 to 1.0."""
    return _worst(text)[0].score


def scores(prompts: Iterable[Prompt], roles: frozenset[Role]) -> dict[Role, Score]:
    """The score of all that each of `roles` says, for those who say anything."""
    said: dict[Role, list[Prompt]] = {}
    for prompt in prompts:
        if prompt.role in roles and prompt.text:
            said.setdefault(prompt.role, []).append(prompt)
    return {role: _score(texts) for role, texts in said.items()}


def _score(prompts: list[Prompt]) -> Score:
    joined = _PARTED.join([prompt.text.replace(_BETWEEN, " ") for prompt in prompts])
    worst, view = _worst(joined)
    # Marks are blanks to the model, which counts them; what parts the texts is no mark.
    before = marked(view).split(" ", worst.peak)[:-1] if view else []
    number = sum(word == _BETWEEN for word in before)
    plain = view.count(_BETWEEN) == len(prompts) - 1
    return Score(worst.score, prompts[min(number, len(prompts) - 1)].where if view and plain else "")


def _worst(text: str) -> tuple[Worst, str]:
    """The worst window of all views, and the view where it is one that keeps the order of the words, else ""."""
    worst, found = Worst(float("-inf"), 0), ""
    for number, view in enumerate(views(text)):
        if number and not any_hit(view):
            continue
        here = model().worst(view)
        if here.raw > worst.raw:
            worst, found = here, "" if number else view
    return worst, found
