"""A text through both stages: the patterns first, then the spotters on what those let out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from tidegate.filtering.detectors import ENTITIES
from tidegate.filtering.edits import Edits
from tidegate.filtering.rewriter import TextRewriter
from tidegate.filtering.ruleset import FilterPlan
from tidegate.filtering.spotted import SpotRewriter
from tidegate.filtering.spotting import Unread
from tidegate.filtering.view import seen
from tidegate.model import Finding


class Rewriting(Protocol):
    """One text, in chunks. See `TextRewriter`, which is what it mostly is."""

    @property
    def blocked(self) -> Finding | None:
        """The finding that ended the text, if one did."""

    @property
    def scanned(self) -> int:
        """Characters taken in."""

    @property
    def held(self) -> int:
        """Characters held back right now."""

    @property
    def findings(self) -> Mapping[tuple[str, str], int]:
        """How often each entity was found, by entity and action."""

    @property
    def unread(self) -> Unread:
        """What of the text not every detector has read, where the policy lets that pass."""

    def feed(self, text: str) -> str:
        """Take the next chunk and return what is decided. Raises ProtocolViolation after `finish`."""

    def finish(self) -> str:
        """End the text and return what was held, rewritten."""

    def whole(self, text: str) -> str:
        """`feed` and `finish` in one, for a text that comes at once."""


class StagedRewriter:
    """The second stage after the first. Each is the same for every way of cutting its text, and so is the whole."""

    def __init__(self, plan: FilterPlan, *, key: bytes = b"", where: str = "", before: str = "") -> None:
        first, second = plan.stages
        self._edits = Edits(plan.witness)
        self._first = TextRewriter(replace(first, witness=self._edits), key=key, where=where, before=before)
        self._second = SpotRewriter(second, self._edits, key=key, where=where)
        self._unread = first.shadow  # then the first stage does not cut what nobody sees
        self._invisible = 0

    @property
    def blocked(self) -> Finding | None:
        """The finding that ended the text. Behind what the second stage blocked, the first has found nothing."""
        return self._second.blocked or self._first.blocked

    @property
    def scanned(self) -> int:
        """Characters taken in."""
        return self._first.scanned

    @property
    def held(self) -> int:
        """Characters held back right now, by either stage."""
        return self._first.held + self._second.held

    @property
    def findings(self) -> Mapping[tuple[str, str], int]:
        """How often each entity was found, by entity and action."""
        second = self._second
        return Counter(self._edits.findings(second.passed if second.blocked else None)) + Counter(second.findings)

    @property
    def unread(self) -> Unread:
        """What of the text not every detector has read."""
        return self._second.unread

    def feed(self, text: str) -> str:
        """Take the next chunk and return what is decided. Raises ProtocolViolation after `finish`."""
        if self.blocked is not None:
            return ""
        if self._unread:
            folded = seen(text, self._invisible)
            text, self._invisible = folded.text, folded.invisible
        out = self._second.feed(self._first.feed(text))
        return out + self._second.finish() if self._first.blocked is not None else out

    def finish(self) -> str:
        """End the text and return what was held, rewritten. A second call returns the empty text."""
        rest = self._first.finish()
        return (self._second.feed(rest) if rest else "") + self._second.finish()

    def whole(self, text: str) -> str:
        """`feed` and `finish` in one."""
        return self.feed(text) + self.finish()


def unfindable(plan: FilterPlan) -> frozenset[str]:
    """The entities of a plan that neither a pattern nor one of its spotters finds."""
    found = ENTITIES.union(*(spotter.entities for spotter in plan.spotters))
    return frozenset(plan.actions.keys() - found)


def rewriting(plan: FilterPlan, *, key: bytes = b"", where: str = "", before: str = "") -> Rewriting:
    """A rewriter for one text: of one stage where no spotter is in the plan. `before` is for the patterns alone."""
    if plan.spotters:
        return StagedRewriter(plan, key=key, where=where, before=before)
    return TextRewriter(plan, key=key, where=where, before=before)
