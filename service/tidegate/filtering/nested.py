"""Terms that begin with other terms: which of them a text goes on with, without a look at each.

Of the terms in order, the last that is not behind a text in it begins with every term that the text begins with. From
there one goes back to the longest of these by *jump pointers* (Myers, An applicative random-access stack, Information
Processing Letters 17(5), 1983), in steps that are as many as the logarithm of those between.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Final

_NONE: Final = -1


class Nested:
    """`terms` are in order, and each stands once. `roots` are those that begin with no other one."""

    def __init__(self, terms: Sequence[str]) -> None:
        self._terms = terms
        self._longest = max(map(len, terms), default=0)
        self.roots: list[str] = []
        self._nexts: dict[int, set[str]] = {}  # what follows a root in the terms that begin with it
        self._inner = array("l")  # of each term the longest one that it begins with
        self._jumps = array("l")  # and one farther back
        within: list[int] = []
        depths = array("l")
        for number, term in enumerate(terms):
            while within and not term.startswith(terms[within[-1]]):
                within.pop()
            if not within:
                self.roots.append(term)
                inner = jump = _NONE
            else:
                self._nexts.setdefault(len(self.roots) - 1, set()).add(term[len(self.roots[-1])])
                inner = within[-1]
                middle = self._jumps[inner]
                far = self._jumps[middle] if middle != _NONE else _NONE
                even = middle != _NONE and depths[inner] - depths[middle] == depths[middle] - (
                    depths[far] if far != _NONE else -1
                )
                jump = far if even else inner
            self._inner.append(inner)
            self._jumps.append(jump)
            depths.append(len(within))
            within.append(number)

    def within(self, text: str, start: int, past: int, root: int) -> Iterator[int]:
        """The sizes of all terms that stand at `start`, the longest first. The `root` is one, and ends at `past`."""
        if (nexts := self._nexts.get(root)) is None or text[past : past + 1] not in nexts:
            yield past - start
            return
        terms, here = self._terms, text[start : start + self._longest]
        number = bisect_right(terms, here) - 1
        shared = _shared(terms[number], here)
        while len(terms[number]) > shared:
            jump = self._jumps[number]
            number = jump if jump != _NONE and len(terms[jump]) > shared else self._inner[number]
        while number != _NONE:
            yield len(terms[number])
            number = self._inner[number]


def _shared(one: str, other: str) -> int:
    """How many characters both begin with."""
    low, high = 0, min(len(one), len(other))
    if one[:high] == other[:high]:
        return high
    while low < high - 1:
        middle = (low + high) // 2
        low, high = (middle, high) if one[low:middle] == other[low:middle] else (low, middle)
    return low
