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
from tidegate.filtering.ruleset import Action, FilterPlan
from tidegate.filtering.scanner import scanner_for
from tidegate.filtering.view import fold, position
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
        self._behind = self._scanner.behind if self._scanner else 0
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
        self._ranks: list[int] = []  # dropped characters of `_text`, see `tidegate.filtering.view`
        self._invisible = 0
        self._swallowing: Detector | None = None
        self._finished = False
        self._counts: dict[str, int] = {}
        self.blocked: Finding | None = None
        self.scanned = 0

    @property
    def held(self) -> int:
        """Characters of the text held back right now."""
        return len(self._text)

    @property
    def findings(self) -> Mapping[tuple[str, str], int]:
        """How often each entity was found, by entity and action."""
        own = {(entity, self._actions[entity].label): count for entity, count in self._counts.items()}
        return own if self._watcher is None else {**own, **self._watcher.findings}

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
        if text.isascii():
            self._invisible = 0
            self._text += text
            self._view += text.encode()
        else:
            self._take(text)
        return self._advance(final=False)

    def finish(self) -> str:
        """End the text and return what was held, rewritten. A second call returns the empty text."""
        if self._finished:
            return ""
        self._finished = True
        out = self._advance(final=True)
        if self._watcher is not None:
            self._watcher.finish()
        return out

    def _take(self, text: str) -> None:
        folded = fold(text, self._invisible)
        if folded.ranks:
            visible = len(self._view) - self._base
            self._ranks = self._ranks + [visible + rank for rank in folded.ranks]
        self._text += folded.text
        self._view += folded.view
        self._invisible = folded.invisible

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
        look = scanner.look(view)
        hold = size if final else look.hold(at)
        while (hit := look.find(at, hold)) is not None:
            found, first, at, over = hit
            start, end = self._char(first), self._char(at - 1) + 1
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
                self._text, self._view, self._base, self._ranks = "", b"", 0, []
                return "".join(out)
            value, entity = text[start:end], found.entity
            if over:
                new = constant(entity)
            elif action is Action.PSEUDONYMIZE:
                new = self._stand_in(entity, value)
            else:
                new = actions.replacement(action, entity, value, self._key)
            out.append(new if self._witness is None else self._tell(found, start, value, new))
            if over:
                at, end = self._swallow(found, at, end)
            done = end
            if at > hold:
                hold = look.hold(at)
        cut = self._char(hold) if self._ranks else hold - self._base
        if self._swallowing is not None:
            cut = done
        out.append(text[done:cut])
        self._keep(hold, cut)
        if final and self._text:  # invisible characters behind a value that was swallowed to the end
            out.append(self._text)
            self._watch(self._text)
            self._text = ""
        return "".join(out)

    def _char(self, at: int) -> int:
        """The place in the text of a place in the view."""
        return position(self._ranks, at - self._base)

    def _swallow(self, detector: Detector, at: int, done: int) -> tuple[int, int]:
        """Pass over what goes on with a value that is longer than its cap; remember it if there may be more."""
        run = detector.swallow.match(self._view, at)
        end = run.end() if run else at
        self._swallowing = detector if end == len(self._view) else None
        return end, self._char(end - 1) + 1 if end > at else done

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

    def _keep(self, hold: int, cut: int) -> None:
        """Drop what is released: the view before `hold` but for what a guard or a word needs; the text before `cut`."""
        if self._ranks:
            released = hold - self._base
            self._ranks = [rank - released for rank in self._ranks[cut - released :]]
        start = hold - self._behind if hold > self._behind else 0
        self._view = self._view[start:]
        if self._watcher is not None:
            self._watcher.feed(self._text[:cut])
        self._text = self._text[cut:]
        self._gone += cut
        self._base = hold - start


def rewrite(plan: FilterPlan, text: str, *, key: bytes = b"") -> str:
    """The whole text at once: one `feed` and one `finish`."""
    rewriter = TextRewriter(plan, key=key)
    return rewriter.feed(text) + rewriter.finish()
