"""What the first stage did to a text, by where it stands in what the second stage reads.

So what the second stage finds has its place in the original text, what it cuts off was not found behind the cut, and
who watches is told of both stages' values in the order of the text.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from typing import Final, NamedTuple

from tidegate.filtering.witness import Found, Witness

_LAG: Final = 1 << 16  # characters; no detector tells of a value later than this


class Edit(NamedTuple):
    """A value at place `out` of the new text; `size` characters stand there for `len(found.value)` of the old one."""

    out: int
    size: int
    found: Found


class Edits:
    """The witness of a first stage. `witness` is told when `show` or `close` comes to the value, and writes then."""

    waiting = False

    def __init__(self, witness: Witness | None) -> None:
        self._witness = witness
        self._edits: list[Edit] = []  # by `out`
        self._shown = 0  # how many of them `witness` knows
        self._starts: list[int] = []  # where values stood that were longer or shorter than what stands for them
        self._outs: list[int] = []  # and where that stands
        self._shifts = [0]  # by how much the text has moved: before each of them, and behind the last
        self._counts: Counter[tuple[str, str]] = Counter()

    def found(self, found: Found) -> str:
        """Note a value of the first stage."""
        new = found.instead or ""
        at = found.start + self._shifts[bisect_left(self._starts, found.start)]
        edit = Edit(at, len(new), found)
        self._edits.insert(bisect_left(self._edits, at, lo=self._shown, key=_out_of), edit)
        if moved := _moved(edit):
            self._starts.append(found.start)
            self._outs.append(at)
            self._shifts.append(self._shifts[-1] + moved)
        return new

    def placed(self, path: tuple[str | int, ...], where: str) -> None:
        """Nothing: the reader tells the witness itself."""

    def origin(self, out: int) -> int:
        """Where in the old text a place of the new one was."""
        return out - self._shifts[bisect_left(self._outs, out)]

    def findings(self, end: int | None) -> Mapping[tuple[str, str], int]:
        """How often each entity was found before the place `end` of the new text, by entity and action."""
        seen = (edit.found for edit in self._edits if end is None or edit.out < end)
        return self._counts + Counter((found.entity, found.act) for found in seen)

    def show(self, text: str, start: int, end: int) -> str:
        """`text`, which is the new text from `start` to `end`, as the witness writes it."""
        if self._witness is None:
            return text
        out: list[str] = []
        at = start
        for edit in self._edits[self._shown :]:
            if edit.out >= end:
                break
            self._shown += 1
            shown = self._witness.found(edit.found)
            if edit.found.instead is not None and edit.out >= at:
                out += (text[at - start : edit.out - start], shown)
                at = edit.out + edit.size
        out.append(text[at - start :])
        return "".join(out)

    def tell(self, found: Found) -> str:
        """A value of the second stage."""
        new = found.instead or ""
        if self._witness is None:
            return new
        return self._witness.found(found._replace(start=self.origin(found.start)))

    def forget(self, end: int) -> None:
        """The text before `end` has been let out."""
        end -= _LAG
        if self._outs and self._outs[0] < end:
            known = bisect_left(self._outs, end)
            del self._starts[:known], self._outs[:known], self._shifts[:known]
        if self._edits and self._edits[0].out < end:
            passed = bisect_left(self._edits, end, hi=None if self._witness is None else self._shown, key=_out_of)
            self._counts.update((edit.found.entity, edit.found.act) for edit in self._edits[:passed])
            del self._edits[:passed]
            self._shown = max(0, self._shown - passed)


def _out_of(edit: Edit) -> int:
    return edit.out


def _moved(edit: Edit) -> int:
    stays = edit.found.instead is None or edit.found.act == "block"
    return 0 if stays else edit.size - len(edit.found.value)
