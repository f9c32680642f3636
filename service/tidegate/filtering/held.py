"""The text that a rewriter holds back, the view of it that a scanner reads, and the places of one in the other.

The view begins with `base` bytes that stand for released text: whether a value follows may hang on them.
"""

from __future__ import annotations

from tidegate.filtering.escapes import may_stand_in
from tidegate.filtering.literal import Written
from tidegate.filtering.offsets import Offsets
from tidegate.filtering.view import fold


class Held:
    """A text from the first character on that is not released, of which `gone` were. Its length is in characters.

    The first `clean` bytes of the view are known to hold nothing that is encoded.
    """

    __slots__ = (
        "_before",
        "_escaped",
        "_invisible",
        "_offsets",
        "_past",
        "_rest",
        "base",
        "clean",
        "gone",
        "text",
        "view",
    )

    def __init__(self) -> None:
        self.text = ""
        self.view = b""
        self.base = self.clean = self.gone = 0
        self._past = 0  # how much of the whole view is no longer in `view`
        self._offsets: Offsets | None = None  # of the whole view in the whole text, when they differ
        self._escaped = -1  # the byte of the whole view that is, or follows, the last escape
        self._before: bytes | None = None  # the first `base` bytes as they are written, where that is something else
        self._invisible = 0
        self._rest = ""  # behind `text`: what may become an escape

    def __len__(self) -> int:
        return len(self.text) + len(self._rest)

    def take(self, text: str, *, final: bool) -> None:
        """Add what follows. `final` says that nothing comes behind it."""
        if text.isascii() and not self._rest and not may_stand_in(view := text.encode()):
            self._invisible = 0
            self.text += text
            self.view += view
            return
        folded = fold(self._rest + text, self._invisible, final=final)
        if folded.gaps:
            visible = self._past + len(self.view)
            # An escape is more characters than one, or one of which the first has a byte: see `Gap`.
            ends = [key // 2 for key, size in folded.gaps if key % 2 or size > 1]
            self._escaped = visible + ends[-1] if ends else self._escaped
            if self._offsets is None:
                self._offsets = Offsets(before=self.gone - self._past - self.base)
            self._offsets.extend(folded.gaps, visible)
        self.text += folded.text
        self.view += folded.view
        self._invisible = folded.invisible
        self._rest = folded.rest

    def start(self, at: int) -> int:
        """Where in the text the character begins that a byte of the view stands for."""
        return at - self.base if self._offsets is None else self._offsets.start(at + self._past) - self.gone

    def end(self, at: int) -> int:
        """Where in the text the character ends that the byte before this one stands for."""
        return at - self.base if self._offsets is None else self._offsets.end(at + self._past) - self.gone

    def _byte(self, place: int) -> int:
        """The byte of the view that stands for the character at a place of the text."""
        if self._offsets is None:
            return place + self.base
        return self._offsets.after(place + self.gone + 1) - 1 - self._past

    def written(self) -> Written | None:
        """The text with its escapes as they are written; None where it has none."""
        if self._escaped < self._past:
            self._before = None
            return None
        before = self.view[: self.base] if self._before is None else self._before
        written = Written(self.text, before, place=self.start, byte=self._byte, size=len(self.view))
        if written.view == self.view:
            self._before = None
            return None
        return written

    def release(self, at: int, cut: int, behind: int, written: Written | None) -> None:
        """Drop the text before `cut`, and the view before the byte `at` but for the `behind` bytes before that."""
        if written is not None:
            self._before = written.behind(at, behind)
        self.text = self.text[cut:]
        self.gone += cut
        start = at - behind
        if start > 0:
            self.view = self.view[start:]
            self._past += start
            self.clean = self.clean - start if self.clean > start else 0
        else:
            start = 0
        self.base = at - start
        if self._offsets is not None and not self._offsets.forget(self.base + self._past):
            self._offsets = None

    def drop(self) -> None:
        """Drop all of it: nothing follows."""
        self.text, self.view, self.base, self._rest = "", b"", 0, ""
