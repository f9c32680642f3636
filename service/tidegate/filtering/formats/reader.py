"""One body's reading: every string of it goes through here, whole or as a run of pieces, and is counted."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from functools import cached_property, lru_cache
from typing import Final, Protocol

from tidegate.filtering.detectors import NUMERIC
from tidegate.filtering.formats.coverage import Coverage, Progress, Tally
from tidegate.filtering.formats.dialect import WORDS
from tidegate.filtering.formats.fragment import JsonFragment
from tidegate.filtering.formats.json_text import BLANK, Path, quote
from tidegate.filtering.formats.sieve import sieve
from tidegate.filtering.formats.titles import title
from tidegate.filtering.rewriter import rewrite
from tidegate.filtering.ruleset import Action, FilterPlan
from tidegate.filtering.staged import Rewriting, rewriting
from tidegate.model import Finding

MAX_NESTING: Final = 3  # JSON in a string of JSON in a string of JSON

_MAX_BLANK = 64
_HIGH = re.compile("[\ud800-\udbff]")
_SHORT = 256  # longer texts are worth a rewriter of their own
_MEMO = 4096
_NO_SIFT = frozenset("{[" + BLANK)  # it may be JSON, whose escapes hide what it holds
_CARD_DIGITS = range(12, 20)
_NAMED = re.compile(r"-?[0-9]{6,64}")  # what may be a value by its name: none has less digits
_BASE16 = re.compile(r"(?:[2-7][\deE]|09){8}")  # what may be text in it, an `e` and all; fractions are no such text


class Run(Protocol):
    """A text that comes in pieces."""

    def feed(self, text: str) -> str:
        """The next piece; what may leave now."""

    def finish(self) -> str:
        """The text is over; the rest of it."""

    @property
    def held(self) -> int:
        """How many characters are held back."""


class Reader:
    """Rewrites strings by one plan and keeps the receipt. `blocked` is the finding that ended the body, if one did."""

    def __init__(self, format_: str, plan: FilterPlan, *, key: bytes = b"") -> None:
        self.tally = Tally(format_)
        self.blocked: Finding | None = None
        self._plan = plan
        self._key = key
        self._witness = plan.witness
        self.selection = plan.selection
        self._patterns = plan.stages[0].entities if plan.spotters else plan.entities
        # What the spotters find has no pattern that a search could look for.
        self._sieve = None if plan.spotters else sieve(plan.entities, plan.regions)
        self._has_numeric = not NUMERIC.isdisjoint(plan.entities)
        """Whether numbers are looked into."""
        self._running: dict[int, Rewriting] = {}
        self._ended = 0  # characters of the runs that are over
        # Short texts in which nothing was found.
        self.clean: set[str] = set() if plan.spotters else {*_harmless(plan.entities, plan.regions)}

    def sift(self, texts: Iterable[str]) -> None:
        """Find out at once which short texts hold nothing, so that `whole` need not look at them."""
        clean = self.clean
        if self._sieve is None:
            return
        fresh = [text for text in {*texts} - clean if len(text) <= _SHORT and text[:1] not in _NO_SIFT]
        if len(fresh) > 1:
            if len(clean) > _MEMO:
                clean.clear()
            clean.update(fresh)
            clean -= self._sieve.suspects(fresh)

    def title(self, name: str) -> str:
        """What stands before a text of that name, "" where the name says nothing of it (`titles`)."""
        return title(self._patterns, self._plan.regions, name)

    def whole(self, text: str, *, nesting: int = 0, name: str = "") -> str:
        """`text` rewritten at once; `name` is what it stands under."""
        before = self.title(name) if name and text else ""
        known = before + text
        if known in self.clean:
            return text
        if text.lstrip(BLANK)[:1] in ("{", "["):
            return self._nested(text, nesting)
        rewriter = rewriting(self._plan, key=self._key, before=before)
        out = rewriter.whole(text)
        if not self._count(rewriter) and len(known) <= _SHORT and len(self.clean) < _MEMO and out == text:
            self.clean.add(known)
        return out

    def _nested(self, text: str, nesting: int) -> str:
        before = self.tally.findings.total()
        run = self.run(nesting=nesting)
        out = run.feed(text) + run.finish()
        # Nothing was found: the text leaves as it was written, not with its escapes normalised.
        return text if self.tally.findings.total() == before and not self.stopped() else out

    def number(self, literal: str, *, name: str = "") -> tuple[str, bool]:
        """What must stand for a number, and whether it was read: what can be a value's digits, or letters in base16.

        `name` is what it stands under.
        """
        told = bool(name) and _NAMED.fullmatch(literal) is not None and bool(self.title(name))
        was_read = told or ("." not in literal and _BASE16.search(literal) is not None)
        if was_read:
            letters = literal.removeprefix("-")
            if (new := self.whole(letters, name=name if told else "")) != letters:
                return quote(new), True
            if letters.isdecimal():  # so that its digits were read, too
                return literal, True
        digits = _digits(literal) if self._has_numeric and len(literal) >= _CARD_DIGITS.start else ""
        if not digits:
            return literal, was_read
        rewriter = rewriting(self._numeric, key=self._key)
        out = rewriter.whole(digits)
        self._count(rewriter)
        return (literal if out == digits else quote(out)), True

    @cached_property
    def _numeric(self) -> FilterPlan:
        """The part of the plan that looks into numbers."""
        actions = {entity: action for entity, action in self._plan.actions.items() if entity in NUMERIC}
        return replace(self._plan, actions=actions, spotters=())

    def run(self, where: str = "", *, nesting: int = 0, name: str = "") -> Run:
        """A text in pieces, read as JSON when it begins like it; `name` is what it stands under."""
        return _Sniffed(self, where, nesting, name)

    def fragment(self, where: str = "") -> Run:
        """A text in pieces that is JSON by contract."""
        return JsonFragment(self, where, 1)

    def plain(self, where: str = "", name: str = "") -> _Plain:
        """A text in pieces, taken as it is."""
        before = self.title(name) if name else ""
        rewriter = rewriting(self._plan, key=self._key, where=where, before=before)
        self._running[id(rewriter)] = rewriter
        return _Plain(self, rewriter)

    def place(self, where: str, path: Path = ()) -> None:
        """Say where what was found stands, when its rewriter did not know."""
        if self.blocked is not None and not self.blocked.where:
            self.blocked = replace(self.blocked, where=where)

        if self._witness is not None:
            self._witness.placed(path, where)

    def unplaced(self) -> bool:
        """Whether something was found of which nobody knows yet where it stands."""
        return self.blocked is not None or (self._witness is not None and self._witness.waiting)

    def stopped(self) -> bool:
        """Whether a finding ended the body."""
        return self.blocked is not None

    def coverage(self) -> Coverage:
        """The receipt so far."""
        return self.tally.receipt(self._running.values())

    @property
    def progress(self) -> Progress:
        """How far the texts in pieces have come."""
        running = self._running.values()
        taken = sum([rewriter.scanned for rewriter in running])
        return Progress(self._ended + taken, sum([rewriter.held for rewriter in running]))

    def close(self, rewriter: Rewriting) -> None:
        """A run is over: count what it found, once."""
        if self._running.pop(id(rewriter), None) is not None:
            self._ended += rewriter.scanned
            self._count(rewriter)

    def _count(self, rewriter: Rewriting) -> bool:
        """Take over what a rewriter found and left unread; whether that is anything."""
        findings, unread = rewriter.findings, rewriter.unread
        if findings:
            self.tally.found(findings)
        if unread.size:
            self.tally.unread(unread)
        if self.blocked is None:
            self.blocked = rewriter.blocked
        return bool(findings) or unread.size > 0 or rewriter.blocked is not None


class _Plain:
    """A text's rewriter that hands its findings to the reader when it is over."""

    def __init__(self, reader: Reader, rewriter: Rewriting) -> None:
        self._reader = reader
        self._rewriter = rewriter
        self._high = ""

    @property
    def held(self) -> int:
        return self._rewriter.held

    def feed(self, text: str) -> str:
        if not text.isascii() or self._high:
            text = self._join(self._high + text)
        out = self._rewriter.feed(text)
        if self._rewriter.blocked is not None:
            self._reader.close(self._rewriter)
        return out

    def finish(self) -> str:
        out = (self._rewriter.feed(self._high) if self._high else "") + self._rewriter.finish()
        self._reader.close(self._rewriter)
        return out

    def _join(self, text: str) -> str:
        """Surrogates that were escaped one by one, in two pieces even, are one character again."""
        self._high = ""
        if _HIGH.search(text) is None:
            return text
        if _HIGH.match(text[-1]):
            text, self._high = text[:-1], text[-1]
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


class _Sniffed:
    """Decides on the first visible character how the text is read, and holds blanks until then."""

    def __init__(self, reader: Reader, where: str, nesting: int, name: str) -> None:
        self._reader = reader
        self._where = where
        self._nesting = nesting
        self._name = name
        self._blank = ""
        self._run: Run | None = None

    @property
    def held(self) -> int:
        return len(self._blank) if self._run is None else self._run.held

    def feed(self, text: str) -> str:
        if self._run is not None:
            return self._run.feed(text)
        self._blank += text
        first = self._blank.lstrip(BLANK)[:1]
        if not first and len(self._blank) <= _MAX_BLANK:
            return ""
        return self._begin(first)

    def finish(self) -> str:
        out = self._begin("") if self._run is None else ""
        return out + self._run.finish() if self._run is not None else out

    def _begin(self, first: str) -> str:
        if first and first in "{[" and self._nesting < MAX_NESTING:
            self._run = JsonFragment(self._reader, self._where, self._nesting + 1)
        else:
            if first and first in "{[":
                self._reader.tally.notes["nesting"] += 1
            self._run = self._reader.plain(self._where, self._name)
        text, self._blank = self._blank, ""
        return self._run.feed(text)


@lru_cache(maxsize=256)
def _harmless(entities: frozenset[str], regions: frozenset[str]) -> frozenset[str]:
    """The words of the dialects in which there is no value of these entities."""
    plan = FilterPlan(dict.fromkeys(entities, Action.REDACT), regions=regions)
    return frozenset([word for word in WORDS if rewrite(plan, word) == word])


def _digits(literal: str) -> str:
    """The digits of a number that is whole, however it is written, and as long as a card's; else ""."""
    if "." in literal or "e" in literal or "E" in literal:
        if "." in literal and "e" not in literal.lower() and literal.rstrip("0")[-1] != ".":
            return ""
        try:
            value = Decimal(literal)
        except InvalidOperation:  # an exponent beyond all reason
            return ""
        if value.adjusted() + 1 not in _CARD_DIGITS or value != value.to_integral_value():
            return ""
        literal = format(value, "f").partition(".")[0]
    digits = literal.lstrip("-")
    return digits if len(digits) in _CARD_DIGITS else ""
