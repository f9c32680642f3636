"""Where the bytes of a view stand in their text, when not every character of the text is one byte of the view."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import NamedTuple


class Gap(NamedTuple):
    """Characters of a text that have no byte of their own in the view.

    `key` is 2n for characters that were dropped before the byte n, and 2n + 1 for the characters of an escape beyond
    the first, where the byte n stands for all of it. `size` is how many they are.
    """

    key: int
    size: int


class Unit(NamedTuple):
    """The bytes of a view from `start` to `end`, which are one `char`, and what its view is: one byte or none."""

    start: int
    end: int
    char: str
    byte: bytes


class Offsets:
    """The gaps of a text from left to right. Places count from the start of the view and of the text.

    `before` is how much longer the text was than the view before the first of them.
    """

    __slots__ = ("_keys", "_sums")

    def __init__(self, gaps: Sequence[Gap] = (), before: int = 0) -> None:
        self._keys = [gap[0] for gap in gaps]
        self._sums = list(accumulate([gap[1] for gap in gaps], initial=before))

    def extend(self, gaps: Iterable[Gap], visible: int) -> None:
        """Go on with the gaps of text whose view begins at the byte `visible`."""
        shift, total = 2 * visible, self._sums[-1]
        for key, size in gaps:
            total += size
            self._keys.append(key + shift)
            self._sums.append(total)

    def start(self, at: int) -> int:
        """Where in the text the character begins that the byte `at` stands for."""
        return at + self._sums[bisect_right(self._keys, 2 * at)]

    def end(self, at: int) -> int:
        """Where in the text the character ends that the byte before `at` stands for."""
        return at + self._sums[bisect_right(self._keys, 2 * at - 1)]

    def after(self, place: int) -> int:
        """The first byte that stands for a character at `place` of the text or behind it."""
        if not self._keys:
            return min(place, max(0, place - self._sums[0]))
        return bisect_right(range(place), place - 1, key=self.start)

    def forget(self, at: int) -> bool:
        """Drop what only bytes before `at` need. Returns whether anything is left."""
        passed = bisect_right(self._keys, 2 * at - 1)
        del self._keys[:passed], self._sums[:passed]
        return bool(self._keys)


def joined(units: Sequence[Unit], gaps: Sequence[Gap]) -> list[Gap]:
    """The gaps of a view after each of `units` became its byte, from those of the view before."""
    out: list[Gap] = []
    known = less = 0  # gaps that were passed, and bytes by which the view has become shorter
    for start, end, _, byte in units:
        while known < len(gaps) and gaps[known].key <= 2 * start:
            out.append(Gap(gaps[known].key - 2 * less, gaps[known].size))
            known += 1
        width = end - start
        while known < len(gaps) and gaps[known].key < 2 * end:
            width += gaps[known].size
            known += 1
        if byte:
            out.append(Gap(2 * (start - less) + 1, width - 1))
            less += end - start - 1
        else:
            out.append(Gap(2 * (start - less), width))
            less += end - start
    return out + [Gap(key - 2 * less, size) for key, size in gaps[known:]]
