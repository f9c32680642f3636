"""The streaming text rewriter: the same output for every way of cutting a text into chunks.

A whole text is one `feed` and one `finish`. What a chunk leaves undecided is held, and no more than that: everything
before the leftmost position about which text to come can change the answer is released at once. No position holds more
than its detector's cap; a value that is longer is replaced once, by the constant form under every action, and the rest
of its run is swallowed as it comes.
"""

from __future__ import annotations

from collections.abc import Mapping

from tidegate.errors import ProtocolViolation
from tidegate.filtering import actions
from tidegate.filtering.canonical import constant
from tidegate.filtering.detector import Detector
from tidegate.filtering.encoded import context
from tidegate.filtering.escapes import may_stand_in
from tidegate.filtering.offsets import Offsets
from tidegate.filtering.ruleset import Action, FilterPlan
from tidegate.filtering.scanner import scanner_for
from tidegate.filtering.spotting import NOTHING_UNREAD, Unread
from tidegate.filtering.view import fold
from tidegate.filtering.witness import Found
from tidegate.model import Finding


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
        self._scanner = scanner_for(enforced)
        self._actions = plan.actions
        self._stand_in = plan.stand_in
        self._allowed = plan.allowed
        self._witness = plan.witness
        self._gone = 0  # how much of the text is no longer in `_text`
        self._key = key
        self._where = where
        self._text = ""
        self._view = b""  # what the scanner still reads of what was released, then the view of `_text`
        self._base = 0  # how many of those there are
        self._clean = 0  # how much of the view is known to hold nothing that is encoded
        self._past = 0  # how much of the view is no longer in `_view`
        self._offsets = Offsets()
        self._invisible = 0
        self._rest = ""  # behind `_text`: what may become an escape
        self._swallowing: Detector | None = None
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
        return self._advance(final=False)

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

    def _take(self, text: str, *, final: bool) -> None:
        if text.isascii() and not self._rest and not may_stand_in(view := text.encode()):
            self._invisible = 0
            self._text += text
            self._view += view
            return
        folded = fold(self._rest + text, self._invisible, final=final)
        if folded.gaps:
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
        allowed = self._allowed
        at, done = self._base, 0  # how far the view, and with it the text, is decided
        if self._swallowing is not None:
            at, done = self._swallow(self._swallowing, at, done)
        look = scanner.look(view, clean=self._clean)
        self._clean = 0 if look.encoded is not None else size
        hold = size if final else look.hold(at)
        while (hit := look.find(at, hold)) is not None:
            found, _, first, at, over, decoded = hit
            start, end = self._start(first), self._end(at)
            out.append(text[done:start])
            if allowed is not None and not over and allowed.covers(found.entity, text[start:end]):
                out.append(text[start:end])
                done = end
                if at > hold:
                    hold = look.hold(at)
                continue
            action = self._count(found.entity)
            if action is Action.BLOCK:
                self._tell(found, start, text[start:end], "")
                self._watch(text[:start])
                self._text, self._view, self._base, self._rest = "", b"", 0, ""
                return "".join(out)
            value, entity = decoded or text[start:end], found.entity
            if over:
                new = constant(entity)
            elif action is Action.PSEUDONYMIZE:
                new = self._stand_in(entity, value)
            else:
                new = actions.replacement(action, entity, value, self._key)
            out.append(new if self._witness is None else self._tell(found, start, text[start:end], new))
            if over:
                at, end = self._swallow(found, at, end)
            done = end
            if at > hold:
                hold = look.hold(at)
        cut = self._start(hold)
        if self._swallowing is not None:
            cut = done
        out.append(text[done:cut])
        self._keep(hold, cut, scanner.behind if look.encoded is None else context(scanner.behind))
        if final and self._text:  # invisible characters behind a value that was swallowed to the end
            out.append(self._text)
            self._watch(self._text)
            self._text = ""
        return "".join(out)

    def _start(self, at: int) -> int:
        """Where in `_text` the character begins that a byte of the view stands for."""
        return self._offsets.start(at + self._past) - self._gone if self._offsets else at - self._base

    def _end(self, at: int) -> int:
        """Where in `_text` the character ends that the byte before this one stands for."""
        return self._offsets.end(at + self._past) - self._gone if self._offsets else at - self._base

    def _swallow(self, detector: Detector, at: int, done: int) -> tuple[int, int]:
        """Pass over what goes on with a value that is longer than its cap; remember it if there may be more."""
        run = detector.swallow.match(self._view, at)
        end = run.end() if run else at
        self._swallowing = detector if end == len(self._view) else None
        return end, self._end(end) if end > at else done

    def _count(self, entity: str) -> Action:
        action = self._actions[entity]
        self._counts[entity] = self._counts.get(entity, 0) + 1
        if action is Action.BLOCK:
            self.blocked = Finding(entity, action.label, self._where)
        return action

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
        start = hold - behind if hold > behind else 0
        self._view = self._view[start:]
        if self._watcher is not None:
            self._watcher.feed(self._text[:cut])
        self._text = self._text[cut:]
        self._gone += cut
        self._past += start
        self._clean = max(0, self._clean - start)
        self._base = hold - start
        if self._offsets:
            self._offsets.forget(hold - start + self._past)


def rewrite(plan: FilterPlan, text: str, *, key: bytes = b"") -> str:
    """The whole text at once: one `feed` and one `finish`."""
    rewriter = TextRewriter(plan, key=key)
    return rewriter.feed(text) + rewriter.finish()
