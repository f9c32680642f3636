"""Which of many short texts can hold a value at all: one search over all of them instead of a rewriter each.

A value begins with what its detector's `begins` describes, or needs a sign or a word. Without what must follow a value
those are patterns of the text alone, so where they match nowhere in the texts put together, they match in none of them.
Where a value is encoded, there is a pattern for that.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from tidegate.filtering.detector import searcher, worded
from tidegate.filtering.detectors import rows_of
from tidegate.filtering.encodings import BEGINS
from tidegate.filtering.offsets import Offsets
from tidegate.filtering.view import fold


class Sieve:
    """The beginnings of all values of a set of entities, and of the telephone numbers of regions."""

    def __init__(self, entities: frozenset[str], regions: frozenset[str] = frozenset()) -> None:
        rows = [replace(row, ahead="") for row in rows_of(entities, regions)]
        patterns = {row.automaton: "" for row in rows}
        for row in rows:
            begins = row.wake or row.sign or (worded(row.near) if row.near else row.begins)
            patterns[row.automaton] += f"|{begins}"
        self._searches = [searcher(pattern[1:]) for pattern in patterns.values()] + [searcher(BEGINS)]

    def suspects(self, texts: Sequence[str]) -> set[str]:
        """Those of `texts` in which a value may stand. All others a rewriter would leave as they are."""
        joined = "\n".join(texts)
        folded = fold(joined)
        if len(folded.text) != len(joined):  # a long run of invisible characters, which a rewriter cuts
            return set(texts)
        starts = [0]
        for text in texts:
            starts.append(starts[-1] + len(text) + 1)
        found: set[str] = set()
        view, offsets = folded.view, Offsets(folded.gaps)
        for search in self._searches:
            at = search(view, 0, len(view))
            while at >= 0:
                number = bisect_right(starts, offsets.start(at)) - 1
                found.add(texts[number])
                after = offsets.after(starts[number + 1])
                at = search(view, after, len(view)) if after < len(view) else -1
        return found


@lru_cache(maxsize=256)
def sieve(entities: frozenset[str], regions: frozenset[str] = frozenset()) -> Sieve:
    """The sieve of a set of entities and regions, made once."""
    return Sieve(entities, regions)
