"""The second stage of a text: what the spotters of a plan find is acted on, whatever the text was cut into.

All spotters read the same text side by side. Marks that overlap are one value: it is replaced once, as the strictest
of their acts wants. A text is let out up to the place before which every spotter has decided, and never from within a
value; spotters all of whose marks are let stand hold nothing back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from tidegate.errors import ProtocolViolation
from tidegate.filtering import actions
from tidegate.filtering.edits import Edits
from tidegate.filtering.ruleset import Action, FilterPlan
from tidegate.filtering.spotting import Candid, Mark, Spotter, Unread
from tidegate.filtering.witness import Found
from tidegate.model import Finding

_LONGEST = 8192
"""Characters of a value made of marks that overlap; a longer one is cut where the next mark starts."""


class SpotRewriter:
    """One text, in chunks, under the spotters of `plan`; used like a `TextRewriter`.

    `edits` is what the stage before it did. `passed` counts the characters that were let out, as they were then.
    """

    def __init__(self, plan: FilterPlan, edits: Edits, *, key: bytes = b"", where: str = "") -> None:
        self._plan = plan
        self._actions = plan.actions
        self._edits = edits
        self._allowed = plan.allowed
        # Who watches is told of a value before the text around it leaves; and to be allowed, it must be there.
        hold = plan.witness is not None or plan.allowed is not None
        changes = [hold or not self._only_looks(spotter) for spotter in plan.spotters]
        opened = [(spotter.open(), changing) for spotter, changing in zip(plan.spotters, changes, strict=True)]
        self._readings = [reading for reading, changing in opened if changing]
        self._watching = [reading for reading, changing in opened if not changing]
        self._candid = [reading for reading in self._readings + self._watching if isinstance(reading, Candid)]
        self._key = key
        self._where = where
        self._text = ""
        self.passed = 0  # characters that are no longer in `_text`
        self._marks: list[Mark] = []  # what the readings told of `_text`, by start
        self._standing: list[Mark] = []  # the same, of what is let stand
        self._counts: Counter[str] = Counter()
        self._finished = False
        self.blocked: Finding | None = None

    @property
    def held(self) -> int:
        """Characters of the text held back right now."""
        return len(self._text)

    @property
    def findings(self) -> Mapping[tuple[str, str], int]:
        """How often each entity was found, by entity and action."""
        return {(entity, self._actions[entity].label): count for entity, count in self._counts.items()}

    @property
    def unread(self) -> Unread:
        """What not every reading has read."""
        pieces = sum((Counter(reading.unread) for reading in self._candid), Counter[str]())
        return Unread(pieces, sum(reading.unread_bytes for reading in self._candid))

    def feed(self, text: str) -> str:
        """Take the next chunk and return what is decided. Raises ProtocolViolation after `finish`."""
        if self._finished:
            raise ProtocolViolation("text after the end of a text")
        if self.blocked is not None or not text:
            return ""
        self._text += text
        end = self.passed + len(self._text)
        told = [mark for reading in self._readings for mark in reading.feed(text)]
        self._note(told)
        return self._release(min((reading.decided for reading in self._readings), default=end))

    def finish(self) -> str:
        """End the text and return what was held, rewritten. A second call returns the empty text."""
        if self._finished:
            return ""
        self._finished = True
        out = ""
        if self.blocked is None:
            self._note([mark for reading in self._readings for mark in reading.finish()])
            out = self._release(self.passed + len(self._text))
        for reading in self._watching:
            self._count(reading.finish())
        return out

    def _note(self, told: Iterable[Mark]) -> None:
        for mark in told:
            act = self._actions.get(mark.entity)
            if act is not None and not self._is_allowed(mark):
                (self._standing if act is Action.ANNOTATE else self._marks).append(mark)
        # Not in the order in which they were told, which depends on the cutting.
        self._marks.sort(key=lambda mark: (mark.start, -mark.end, mark.entity, mark.name))

    def _release(self, decided: int) -> str:
        """Let out what stands before `decided`, or before the value that reaches beyond it."""
        out: list[str] = []
        at, done = self.passed, 0  # `done` of the marks are dealt with
        while marks := self._overlapping(done, decided):
            start, end = max(at, marks[0].start), max(mark.end for mark in marks)
            if end > decided:
                decided = start
                break
            out.append(self._show(at, start))
            at = end
            done += len(marks)
            self._count(marks)
            new = self._act(marks, start, end)
            if new is None:
                decided = at = start
                break
            out.append(new)
        self._marks = self._marks[done:]
        out.append(self._show(at, decided))
        self._let_stand(decided)
        self._edits.forget(decided)
        self._text = "" if self.blocked is not None else self._text[decided - self.passed :]
        self.passed = decided
        return "".join(out)

    def _overlapping(self, first: int, decided: int) -> list[Mark]:
        """The marks, from the one of that number, of the next value that starts before `decided`."""
        found: list[Mark] = []
        end = decided
        for at in range(first, len(self._marks)):
            mark = self._marks[at]
            if mark.start >= end or (found and mark.start - found[0].start >= _LONGEST):
                break
            end = max(end, mark.end) if found else mark.end
            found.append(mark)
        return found

    def _act(self, marks: Sequence[Mark], start: int, end: int) -> str | None:
        """What stands for a value; None when nothing may follow."""
        act = max(self._actions[mark.entity] for mark in marks)
        worst = next(mark for mark in marks if self._actions[mark.entity] is act)
        value = self._piece(start, end)
        match act:
            case Action.BLOCK:
                self.blocked = Finding(worst.entity, act.label, self._where)
                new = ""  # what is told, not what is written
            case Action.PSEUDONYMIZE:
                new = self._plan.stand_in(worst.entity, value)
            case _:
                new = actions.replacement(act, worst.entity, value, self._key, self._plan.regions)
        written = self._edits.tell(Found(worst.entity, worst.name, act.label, self._where, start, value, new))
        return None if act is Action.BLOCK else written

    def _let_stand(self, end: int) -> None:
        """Count what is only looked for, up to `end`: what comes behind a block was never let out."""
        passed = self._piece(self.passed, end)
        counted = [mark for mark in self._standing if mark.start < end]
        self._standing = [mark for mark in self._standing if mark.start >= end]
        for reading in self._watching:
            counted += reading.feed(passed)
        self._count(counted)
        if self._plan.witness is not None:  # then all that is counted here is still in `_text`
            for mark in counted:
                act, value = self._actions[mark.entity].label, self._piece(mark.start, mark.end)
                self._edits.tell(Found(mark.entity, mark.name, act, self._where, mark.start, value, None))

    def _count(self, marks: Iterable[Mark]) -> None:
        self._counts.update(mark.entity for mark in marks if mark.entity in self._actions)

    def _is_allowed(self, mark: Mark) -> bool:
        return self._allowed is not None and self._allowed.covers(mark.entity, self._piece(mark.start, mark.end))

    def _only_looks(self, spotter: Spotter) -> bool:
        acts = {self._actions[entity] for entity in spotter.entities & self._actions.keys()}
        return acts <= {Action.ANNOTATE}

    def _show(self, start: int, end: int) -> str:
        return self._edits.show(self._piece(start, end), start, end)

    def _piece(self, start: int, end: int) -> str:
        return self._text[start - self.passed : end - self.passed]
