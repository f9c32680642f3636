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
        self._shift = 0  # by how much edits that are no longer kept have moved the text
        self._counts: Counter[tuple[str, str]] = Counter()

    def found(self, found: Found) -> str:
        """Note a value of the first stage."""
        shift = self._shift
        for edit in self._edits:
            if edit.found.start >= found.start:
                break
            shift += _moved(edit)
        new = found.instead or ""
        at = found.start + shift
        self._edits.insert(
            bisect_left(self._edits, at, lo=self._shown, key=lambda edit: edit.out), Edit(at, len(new), found)
        )
        return new

    def placed(self, path: tuple[str | int, ...], where: str) -> None:
        """Nothing: the reader tells the witness itself."""

    def origin(self, out: int) -> int:
        """Where in the old text a place of the new one was."""
        shift = self._shift + sum(_moved(edit) for edit in self._edits if edit.out < out)
        return out - shift

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
        while self._edits and self._edits[0].out < end - _LAG and (self._witness is None or self._shown):
            edit = self._edits.pop(0)
            self._shown -= self._shown > 0
            self._shift += _moved(edit)
            self._counts[edit.found.entity, edit.found.act] += 1


def _moved(edit: Edit) -> int:
    stays = edit.found.instead is None or edit.found.act == "block"
    return 0 if stays else edit.size - len(edit.found.value)
