"""A text as it is written, beside the view in which its escapes are undone: `%4111 1111 1111 1111` shows a card.

What an escape stands for and what it is written with are both there to be read, so both are searched. Hits are told in
the bytes of the undone view; of an escape that a value shares in, all of it belongs to the value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tidegate.filtering.detector import Hit
from tidegate.filtering.offsets import Offsets
from tidegate.filtering.view import seen

if TYPE_CHECKING:
    from tidegate.filtering.scanner import Look, Scanner


class Written:
    """A text and the bytes `before` it, as they are written.

    `place(byte)` is where in the text the character begins that a byte of the undone view stands for, `byte(place)` the
    byte that stands for the character at a place, and `size` how many bytes of that view there are.
    """

    def __init__(
        self, text: str, before: bytes, *, place: Callable[[int], int], byte: Callable[[int], int], size: int
    ) -> None:
        folded = seen(text, 0)
        self.view = before + folded.view
        self.place = place
        self.byte = byte
        self.size = size
        self._text = text
        self._base = len(before)
        self._offsets = Offsets(folded.gaps)

    def under(self, scanner: Scanner) -> Literal:
        """The same, under a scanner."""
        return Literal(self, scanner.look(self.view, within=False))

    def to(self, byte: int) -> int:
        """The byte of `view` for a byte of the undone view."""
        return self._base + self._offsets.after(self.place(byte))

    def start(self, at: int) -> int:
        """The byte of the undone view in which the byte `at` of `view` begins."""
        return self.byte(self._offsets.start(at - self._base)) if at < len(self.view) else self.size

    def end(self, at: int) -> int:
        """The byte of the undone view behind the byte of `view` before `at`."""
        return self.byte(self._offsets.end(at - self._base) - 1) + 1

    def behind(self, byte: int, reach: int) -> bytes:
        """The last `reach` bytes of `view` before a byte of the undone view."""
        at = self.to(byte)
        return self.view[max(0, at - reach) : at]


class Literal:
    """What a scanner finds in a text as it is written."""

    __slots__ = ("_look", "_written")

    def __init__(self, written: Written, look: Look) -> None:
        self._written = written
        self._look = look

    def find(self, at: int, hold: int) -> Hit | None:
        """The first value that is decided from `at` on and before `hold`."""
        written = self._written
        hit = self._look.find(written.to(at), written.to(hold))
        if hit is None:
            return None
        row, place, start, end, over, value = hit
        return Hit(row, max(at, written.start(place)), written.start(start), written.end(end), over, value)

    def hold(self, start: int) -> int:
        """The leftmost position, from `start`, about which text to come can still change the answer."""
        return self._written.start(self._look.hold(self._written.to(start)))
