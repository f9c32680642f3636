"""The streaming text rewriter: the same output for every way of cutting a text into chunks.

A whole text is one `feed` and one `finish`. What a chunk leaves undecided is held, and no more than that: everything
before the leftmost position about which text to come can change the answer is released at once; where much is held, it
is not looked at for a few characters more. No position holds more than its detector's cap; a value that is longer is
replaced once, by the constant form under every action, and the rest of its run is swallowed as it comes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tidegate.errors import ProtocolViolation
from tidegate.filtering.detector import Detector, Hit
from tidegate.filtering.encodings import context
from tidegate.filtering.escapes import MAX_WRITTEN
from tidegate.filtering.held import Held
from tidegate.filtering.overlaps import Overlaps
from tidegate.filtering.replacing import Replacing
from tidegate.filtering.ruleset import FilterPlan
from tidegate.filtering.scanner import scanner_for
from tidegate.filtering.spotting import NOTHING_UNREAD, Unread
from tidegate.model import Finding

_MUCH: Final = 128
"""Characters: where so many are held, they are looked at again when an eighth of them has come, not at every delta."""


class TextRewriter:
    """One text, in chunks. Not for use by two threads at once.

    `key` is the HMAC key of the `hash` action, `where` the field path that a blocking finding carries. `blocked` is set
    when a value whose action is BLOCK was found; what stands before it has been released and nothing after it will be.
    `scanned` counts the characters taken in, up to the end of the chunk that was blocked. `watching` is for values that
    are let stand: they are counted, and what comes back means nothing. `before` is what a reader knows of the text
    before it begins, such as the name of its field: in ASCII, without escapes, and no part of what comes back.
    Raises ValueError when the plan names an entity that no detector has.
    """

    def __init__(
        self, plan: FilterPlan, *, key: bytes = b"", where: str = "", watching: bool = False, before: str = ""
    ) -> None:
        enforced, watched = (plan, None) if watching else plan.parts
        self._watcher = None if watched is None else TextRewriter(watched, where=where, watching=True, before=before)
        self._enforced = enforced
        self._strictest = enforced.strictest
        self._instead = enforced.instead
        self._scanner = scanner_for(enforced)
        self._held = Held()
        self._aside = len(before) if self._scanner is not None else 0  # characters of `before` that are held
        if self._aside:
            self._held.take(before, final=False)
        self._replacing = Replacing(enforced, self._held, _finds, key=key, where=where, aside=self._aside)
        self._enough = 0  # of what is held, to look again
        self._swallowing: tuple[Detector, ...] = ()
        self._finished = False
        self.blocked: Finding | None = None
        self.scanned = 0

    @property
    def held(self) -> int:
        """Characters of the text held back right now."""
        return len(self._held) - self._aside

    @property
    def findings(self) -> Mapping[tuple[str, str], int]:
        """How often each entity was found, by entity and action."""
        own = self._replacing.findings
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
        self._held.take(text, final=False)
        if len(self._held.text) < self._enough:
            return ""
        out = self._advance(final=False)
        held = len(self._held.text)
        self._enough = held + min(held // 8, MAX_WRITTEN) if held >= _MUCH else 0
        return out

    def finish(self) -> str:
        """End the text and return what was held, rewritten. A second call returns the empty text."""
        if self._finished:
            return ""
        self._finished = True
        self._held.take("", final=True)
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
            self._held.take(text, final=True)
            out = self._advance(final=True)
        if self._watcher is not None:
            self._watcher.finish()
        return out

    def _advance(self, *, final: bool) -> str:
        scanner, held = self._scanner, self._held
        if scanner is None or self.blocked is not None:
            return ""
        view, text, size = held.view, held.text, len(held.view)
        out: list[str] = []
        aside = self._aside
        at, done = held.base, aside  # how far the view, and with it the text, is decided
        overlaps: Overlaps | None = None
        look = scanner.look(view, clean=held.clean)
        held.clean = look.encoded
        written = held.written()
        if written is not None:
            look.literal = written.under(scanner)
        if self._swallowing:
            overlaps = Overlaps(self._enforced, view, written, final=final)
            after = self._swallow(at, overlaps, out)
            if after is None:
                return "".join(out)
            at, done = after, max(aside, held.end(after)) if after > at else aside
        hold = at if self._swallowing else size if final else look.hold(at)
        find = look.plain if look.literal is None and look.encoded >= size else look.find
        instead, actions, counts = self._instead, self._enforced.actions, self._replacing.counts
        while at < hold and (hit := find(at, hold)) is not None:
            row, place, start, at, over, _ = hit
            if aside and held.end(at) <= aside:
                continue
            new, endless = None if over else instead.get(row.entity), None
            if new is None and (over or actions[row.entity] is not self._strictest):
                overlaps = overlaps or Overlaps(self._enforced, view, written, final=final)
                value = overlaps.value(hit)
                if value is None:
                    hold = place
                    break
                hit, start, at, endless = value
            begin = max(aside, held.start(start))
            out.append(text[done:begin])
            done = held.end(at)
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
                at, done = after, held.end(after)
            if self._swallowing:
                hold = at
            elif at > hold:
                hold = look.hold(at)
        cut = done if self._swallowing else held.start(hold)
        out.append(text[done:cut])
        if self._watcher is not None:
            self._watcher.feed(text[aside:cut])
        behind = scanner.behind if look.encoded >= hold else context(scanner.behind)
        held.release(hold, cut, behind, written)
        self._aside = max(0, aside - cut)
        if final and held.text:  # invisible characters behind a value that was swallowed to the end
            out.append(held.text)
            self._watch(held.text)
            held.drop()
        return "".join(out)

    def _replace(self, hit: Hit, start: int, end: int, out: list[str], *, over: bool) -> bool:
        """Let out what stands for the text from `start` to `end`. Returns False when that ends the text."""
        new = self._replacing.instead(hit, start, end, over=over)
        if isinstance(new, Finding):
            self.blocked = new
            self._watch(self._held.text[self._aside : start])
            self._held.drop()
            self._aside = 0
            self._swallowing = ()
            return False
        out.append(new)
        return True

    def _swallow(self, at: int, overlaps: Overlaps, out: list[str]) -> int | None:
        """Pass over what goes on with values that are longer than their caps, but for stricter ones in it.

        Returns how far that is decided, None when it ends the text; `_swallowing` remembers those that go on.
        """
        held, actions, rows = self._held, self._enforced.actions, self._swallowing
        view, size = held.view, len(held.view)
        while rows:
            ends = [run.end() if (run := row.swallow.match(view, at)) else at for row in rows]
            end = min(ends)
            until, value = overlaps.inside(min(rows, key=lambda row: actions[row.entity]), at, end)
            if value is not None:
                hit, start, after, endless = value
                if not self._replace(hit, held.start(start), held.end(after), out, over=endless is not None):
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

    def _watch(self, text: str) -> None:
        """What is decided, before it was rewritten, and nothing behind a block: so its cutting does not matter."""
        if self._watcher is not None:
            self._watcher.feed(text)


def rewrite(plan: FilterPlan, text: str, *, key: bytes = b"") -> str:
    """The whole text at once: one `feed` and one `finish`."""
    return TextRewriter(plan, key=key).whole(text)


def _finds(plan: FilterPlan, text: str) -> bool:
    rewriter = TextRewriter(plan)
    rewriter.whole(text)
    return bool(rewriter.findings)
