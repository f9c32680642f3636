"""The streaming text rewriter: the same output for every way of cutting a text into chunks.

A whole text is one `feed` and one `finish`. What a chunk leaves undecided is held, and no more than that: everything
before the leftmost position about which text to come can change the answer is released at once; where much is held, it
is not looked at for a few characters more. No position holds more than its detector's cap; a value that is longer is
replaced once, by the constant form under every action, and the rest of its run is swallowed as it comes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from tidegate.errors import ProtocolViolation
from tidegate.filtering import actions
from tidegate.filtering.allow_list import Allowed
from tidegate.filtering.canonical import constant
from tidegate.filtering.detector import Detector, Hit
from tidegate.filtering.encoded import context
from tidegate.filtering.escapes import MAX_WRITTEN, may_stand_in
from tidegate.filtering.literal import Written
from tidegate.filtering.offsets import Offsets
from tidegate.filtering.overlaps import Overlaps
from tidegate.filtering.ruleset import Action, FilterPlan
from tidegate.filtering.scanner import scanner_for
from tidegate.filtering.spotting import NOTHING_UNREAD, Unread
from tidegate.filtering.view import fold
from tidegate.filtering.witness import Found
from tidegate.model import Finding

_MUCH: Final = 128
"""Characters: where so many are held, they are looked at again when an eighth of them has come, not at every delta."""


class TextRewriter:
    """One text, in chunks. Not for use by two threads at once.

    `key` is the HMAC key of the `hash` action, `where` the field path that a blocking finding carries. `blocked` is set
    when a value whose action is BLOCK was found; what stands before it has been released and nothing after it will be.
    `scanned` counts the characters taken in, up to the end of the chunk that was blocked. `watching` is for values that
    are let stand: they are counted, and what comes back means nothing.
    Raises ValueError when the plan names an entity that no detector has.
    """

    def __init__(self, plan: FilterPlan, *, key: bytes = b"", where: str = "", watching: bool = False) -> None:
        enforced, watched = (plan, None) if watching else plan.parts
        self._watcher = None if watched is None else TextRewriter(watched, where=where, watching=True)
        self._enforced = enforced
        self._strictest = enforced.strictest
        self._instead = enforced.instead
        self._scanner = scanner_for(enforced)
        self._actions = plan.actions
        self._stand_in = plan.stand_in
        self._allowed = plan.allowed
        self._others: dict[str, FilterPlan] = {}  # the plan without an entity, where that was asked for
        self._witness = plan.witness
        self._gone = 0  # how much of the text is no longer in `_text`
        self._key = key
        self._where = where
        self._text = ""
        self._view = b""  # what the scanner still reads of what was released, then the view of `_text`
        self._base = 0  # how many of those there are
        self._escaped = -1  # the byte of the whole view that is, or follows, the last escape
        self._before: bytes | None = None  # those as they are written, where that is something else
        self._clean = 0  # how much of the view is known to hold nothing that is encoded
        self._past = 0  # how much of the view is no longer in `_view`
        self._offsets: Offsets | None = None  # of `_view` in `_text`, when they differ
        self._invisible = 0
        self._rest = ""  # behind `_text`: what may become an escape
        self._enough = 0  # of `_text` to look again
        self._swallowing: tuple[Detector, ...] = ()
        self._finished = False
        self._counts: dict[str, int] = {}
        self.blocked: Finding | None = None
        self.scanned = 0

    @property
    def held(self) -> int:
        """Characters of the text held back right now."""
        return len(self._text) + len(self._rest)

    @property
    def findings(self) -> Mapping[tuple[str, str], int]:
        """How often each entity was found, by entity and action."""
        own = {(entity, self._actions[entity].label): count for entity, count in self._counts.items()}
        return own if self._watcher is None else {**own, **self._watcher.findings}

    @property
    def unread(self) -> Unread:
        """Nothing: a pattern is looked for, or the text does not leave."""
        return NOTHING_UNREAD

    def feed(self, text: str) -> str:
        """Take the next chunk and return what is decided. Raises ProtocolViolation after `finish`."""
        if self._finished:
            raise ProtocolViolation("text after the end of a text")
        if self.blocked is not None:
            return ""
        self.scanned += len(text)
        if self._scanner is None or not text:
            self._watch(text)
            return text
        self._take(text, final=False)
        if len(self._text) < self._enough:
            return ""
        out = self._advance(final=False)
        held = len(self._text)
        self._enough = held + min(held // 8, MAX_WRITTEN) if held >= _MUCH else 0
        return out

    def finish(self) -> str:
        """End the text and return what was held, rewritten. A second call returns the empty text."""
        if self._finished:
            return ""
        self._finished = True
        if self._rest:
            self._take("", final=True)
        out = self._advance(final=True)
        if self._watcher is not None:
            self._watcher.finish()
        return out

    def whole(self, text: str) -> str:
        """`feed` and `finish` in one: what nothing follows need not be looked at for what could."""
        if self._finished:
            raise ProtocolViolation("text after the end of a text")
        self._finished = True
        self.scanned += len(text)
        if self._scanner is None or not text:
            self._watch(text)
            out = text
        else:
            self._take(text, final=True)
            out = self._advance(final=True)
        if self._watcher is not None:
            self._watcher.finish()
        return out

    def _take(self, text: str, *, final: bool) -> None:
        if text.isascii() and not self._rest and not may_stand_in(view := text.encode()):
            self._invisible = 0
            self._text += text
            self._view += view
            return
        folded = fold(self._rest + text, self._invisible, final=final)
        if folded.gaps:
            visible = self._past + len(self._view)
            # An escape is more characters than one, or one of which the first has a byte: see `Gap`.
            ends = [key // 2 for key, size in folded.gaps if key % 2 or size > 1]
            self._escaped = visible + ends[-1] if ends else self._escaped
            if self._offsets is None:
                self._offsets = Offsets(before=self._gone - self._past - self._base)
            self._offsets.extend(folded.gaps, self._past + len(self._view))
        self._text += folded.text
        self._view += folded.view
        self._invisible = folded.invisible
        self._rest = folded.rest

    def _advance(self, *, final: bool) -> str:
        scanner = self._scanner
        if scanner is None or self.blocked is not None:
            return ""
        view, text, size = self._view, self._text, len(self._view)
        out: list[str] = []
        at, done = self._base, 0  # how far the view, and with it the text, is decided
        overlaps: Overlaps | None = None
        look = scanner.look(view, clean=self._clean)
        self._clean = look.encoded
        written = self._as_written() if self._escaped >= 0 else None
        if written is not None:
            look.literal = written.under(scanner)
        if self._swallowing:
            overlaps = Overlaps(self._enforced, view, written, final=final)
            after = self._swallow(at, overlaps, out)
            if after is None:
                return "".join(out)
            at, done = after, self._end(after) if after > at else 0
        hold = at if self._swallowing else size if final else look.hold(at)
        find = look.plain if look.literal is None and look.encoded >= size else look.find
        base, offsets, instead, counts = self._base, self._offsets, self._instead, self._counts
        while at < hold and (hit := find(at, hold)) is not None:
            row, place, start, at, over, _ = hit
            new, endless = None if over else instead.get(row.entity), None
            if new is None and (over or self._actions[row.entity] is not self._strictest):
                overlaps = overlaps or Overlaps(self._enforced, view, written, final=final)
                value = overlaps.value(hit)
                if value is None:
                    hold = place
                    break
                hit, start, at, endless = value
            begin = start - base if offsets is None else self._start(start)
            out.append(text[done:begin])
            done = at - base if offsets is None else self._end(at)
            if new is not None:
                out.append(new)
                counts[row.entity] = counts.get(row.entity, 0) + 1
            elif not self._replace(hit, begin, done, out, over=endless is not None):
                return "".join(out)
            if endless is not None and overlaps is not None:
                self._swallowing = (endless,)
                after = self._swallow(at, overlaps, out)
                if after is None:
                    return "".join(out)
                at, done = after, self._end(after)
            if self._swallowing:
                hold = at
            elif at > hold:
                hold = look.hold(at)
        cut = done if self._swallowing else hold - base if offsets is None else self._start(hold)
        out.append(text[done:cut])
        behind = scanner.behind if look.encoded >= hold else context(scanner.behind)
        if written is not None:
            self._before = written.behind(hold, behind)
        self._keep(hold, cut, behind)
        if final and self._text:  # invisible characters behind a value that was swallowed to the end
            out.append(self._text)
            self._watch(self._text)
            self._text = ""
        return "".join(out)

    def _replace(self, hit: Hit, start: int, end: int, out: list[str], *, over: bool) -> bool:
        """Let out what stands for the text from `start` to `end`, of which `hit` is the worst.

        `over` says that it goes on. Returns False when it ends the text.
        """
        row = hit.detector
        entity, text = row.entity, self._text
        if self._allowed is not None and not over and self._stays(self._allowed, hit, start, end):
            out.append(text[start:end])
            return True
        action = self._actions[entity]
        self._counts[entity] = self._counts.get(entity, 0) + 1
        if action is Action.BLOCK:
            self.blocked = Finding(entity, action.label, self._where)
            self._tell(row, start, text[start:end], "")
            self._watch(text[:start])
            self._text, self._view, self._base, self._rest, self._swallowing = "", b"", 0, "", ()
            return False
        if over or hit.over or action is Action.REDACT:
            new = constant(entity)
        else:
            found = hit.value or text[self._start(hit.start) : self._end(hit.end)]
            if action is Action.PSEUDONYMIZE:
                new = self._stand_in(entity, found)
            else:
                new = actions.replacement(action, entity, found, self._key, self._enforced.regions)
        out.append(new if self._witness is None else self._tell(row, start, text[start:end], new))
        return True

    def _stays(self, allowed: Allowed, hit: Hit, start: int, end: int) -> bool:
        """Whether the text from `start` to `end` is one value, and is to be left as it is.

        An address of a domain that is allowed may have been made up around another value, which must not leave in it.
        """
        entity, value = hit.detector.entity, self._text[start:end]
        whole = (self._start(hit.start), self._end(hit.end)) == (start, end)
        if not whole or not allowed.covers(entity, value):
            return False
        return allowed.lists(entity, value) or not self._holds_another(entity, value)

    def _holds_another(self, entity: str, value: str) -> bool:
        """Whether a value of one entity holds a value of another that does not stay."""
        if entity not in self._others:
            actions = {other: action for other, action in self._enforced.actions.items() if other != entity}
            self._others[entity] = replace(self._enforced, actions=actions, witness=None)
        inner = TextRewriter(self._others[entity])
        inner.feed(value)
        inner.finish()
        return bool(inner.findings)

    def _as_written(self) -> Written | None:
        """The text with its escapes as they are written; None where it has none."""
        if self._escaped < self._past:
            self._before = None
            return None
        before = self._view[: self._base] if self._before is None else self._before
        written = Written(self._text, before, place=self._start, byte=self._byte, size=len(self._view))
        if written.view == self._view:
            self._before = None
            return None
        return written

    def _byte(self, place: int) -> int:
        """The byte of the view that stands for the character at a place of `_text`."""
        if self._offsets is None:
            return place + self._base
        return self._offsets.after(place + self._gone + 1) - 1 - self._past

    def _start(self, at: int) -> int:
        """Where in `_text` the character begins that a byte of the view stands for."""
        return at - self._base if self._offsets is None else self._offsets.start(at + self._past) - self._gone

    def _end(self, at: int) -> int:
        """Where in `_text` the character ends that the byte before this one stands for."""
        return at - self._base if self._offsets is None else self._offsets.end(at + self._past) - self._gone

    def _swallow(self, at: int, overlaps: Overlaps, out: list[str]) -> int | None:
        """Pass over what goes on with values that are longer than their caps, but for stricter ones in it.

        Returns how far that is decided, None when it ends the text; `_swallowing` remembers those that go on.
        """
        rows, size = self._swallowing, len(self._view)
        while rows:
            ends = [run.end() if (run := row.swallow.match(self._view, at)) else at for row in rows]
            end = min(ends)
            until, value = overlaps.inside(min(rows, key=lambda row: self._actions[row.entity]), at, end)
            if value is not None:
                hit, start, after, endless = value
                if not self._replace(hit, self._start(start), self._end(after), out, over=endless is not None):
                    return None
                at = after
                rows = tuple(row for row, end in zip(rows, ends, strict=True) if end >= at)
                rows += () if endless is None else (endless,)
                continue
            at = until
            if until < end or end == size:
                break
            rows = tuple(row for row, reach in zip(rows, ends, strict=True) if reach > end)
        self._swallowing = rows
        return at

    def _tell(self, found: Detector, start: int, value: str, instead: str) -> str:
        if self._witness is None:
            return instead
        action = self._actions[found.entity]
        new = None if action is Action.ANNOTATE else instead
        return self._witness.found(
            Found(found.entity, found.name, action.label, self._where, self._gone + start, value, new)
        )

    def _watch(self, text: str) -> None:
        """What is decided, before it was rewritten, and nothing behind a block: so its cutting does not matter."""
        if self._watcher is not None:
            self._watcher.feed(text)

    def _keep(self, hold: int, cut: int, behind: int) -> None:
        """Drop what is released: the view before `hold` but for what a guard or a word needs; the text before `cut`."""
        if self._watcher is not None:
            self._watcher.feed(self._text[:cut])
        self._text = self._text[cut:]
        self._gone += cut
        start = hold - behind
        if start > 0:
            self._view = self._view[start:]
            self._past += start
            self._clean = self._clean - start if self._clean > start else 0
        else:
            start = 0
        self._base = hold - start
        if self._offsets is not None and not self._offsets.forget(hold - start + self._past):
            self._offsets = None


def rewrite(plan: FilterPlan, text: str, *, key: bytes = b"") -> str:
    """The whole text at once: one `feed` and one `finish`."""
    return TextRewriter(plan, key=key).whole(text)
