"""Terms that must not leave: all of a list are looked for at once (Aho and Corasick, CACM 18(6), 1975).

The answer for a text: *of the places where a term stands, from left to right, the longest term at the first of them is
taken, and the search goes on behind it.* It is certain when no longer term can begin at or before it, which is found
by looking up how the text ends among the sorted terms.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Final

from ahocorasick_rs import AhoCorasick, Implementation

from tidegate.filtering.letters import WIDEST, Letters, is_word, joins, spelled
from tidegate.filtering.nested import Nested
from tidegate.filtering.spotting import Effort, Mark

MAX_TERM: Final = 256
"""Letters of a term."""

_SHARD: Final = 25_000  # terms of one automaton: to build it holds the interpreter up, 30 ms for so many
_HEAD: Final = 3


class DenyList:
    """The terms of one list, compiled: a spotter. Stateless, and shared between threads.

    `entity` is what is found, `name` the list's. `cased` tells upper and lower case apart; with `whole` a term is found
    where no word goes on before or behind it.
    """

    effort = Effort.QUICK

    def __init__(
        self, entity: str, name: str, terms: Iterable[str], *, cased: bool = False, whole: bool = True
    ) -> None:
        self.entity = entity
        self.entities = frozenset({entity})
        self.name = name
        self.cased = cased
        self._whole = whole
        self._terms = sorted(set().union(*(spelled(term, cased=cased) for term in terms)))
        self._heads = {term[:_HEAD] for term in self._terms}
        self._longest = max(map(len, self._terms), default=0)
        self.cap = self._longest * WIDEST
        self._nested = Nested(self._terms)
        roots = self._nested.roots
        self._automata = [
            (at, AhoCorasick(roots[at : at + _SHARD], implementation=Implementation.ContiguousNFA))
            for at in range(0, len(roots), _SHARD)
        ]

    def open(self) -> ListReading:
        """Begin with a text."""
        return ListReading(self)

    def beginnings(self, letters: str, before: str) -> list[tuple[int, int, int]]:
        """Where terms stand, from left to right: the shortest there is at each place, with where it ends and which."""
        whole = self._whole
        found: list[tuple[int, int, int]] = []
        for first, automaton in self._automata:
            for root, start, past in automaton.find_matches_as_indexes(letters, overlapping=True):
                # A word goes on nearly everywhere: so that is asked first, and without a call.
                if whole and (letters[start - 1].isalnum() if start else before):
                    surely = letters[start - 1 : start + 1].isalnum() and letters[start - 1] not in "nrt" and start
                    if (surely and letters[start - 1 : start + 1].isascii()) or self._joined(letters, start, before):
                        continue
                found.append((start, past, first + root))
        return sorted(found) if len(self._automata) > 1 else found

    def end(self, letters: str, start: int, past: int, root: int) -> int:
        """Where the longest term ends of those that begin so; -1 where a word goes on behind each.

        That at the end of all letters may turn out to be part of a longer word.
        """
        for size in self._nested.within(letters, start, past, root):
            past = start + size
            if not self._whole or past == len(letters) or not _goes_on(letters, past):
                return past
        return -1

    def hold(self, letters: str, before: str, start: int) -> int:
        """The first place, from `start`, where text to come can still make a term of what stands there."""
        end = len(letters)
        for at in range(max(start, end - self._longest), end):
            if letters[at : at + _HEAD] not in self._heads and end - at >= _HEAD:
                continue
            if self._whole and self._joined(letters, at, before):
                continue
            if self._may_become(letters[at:]):
                return at
        return end

    @staticmethod
    def _joined(letters: str, at: int, before: str) -> bool:
        """Whether a word goes on with the letter at this place; `before` are the two letters before them all."""
        return joins(letters[at - 2 : at] if at > 1 else (before + letters[:at])[-2:], letters[at])

    def _may_become(self, letters: str) -> bool:
        """Whether a term begins with these letters and is longer, or is them and a word may yet go on."""
        terms = self._terms
        at = bisect_left(terms, letters)
        if at < len(terms) and terms[at] == letters:
            if self._whole and is_word(letters[-1]):
                return True
            at += 1
        return at < len(terms) and terms[at].startswith(letters)


def _goes_on(letters: str, at: int) -> bool:
    return is_word(letters[at - 1]) and is_word(letters[at])


class ListReading:
    """One text under a list."""

    def __init__(self, terms: DenyList) -> None:
        self._list = terms
        self._text = ""
        self._before = ""  # the last two letters before it
        self.decided = 0

    def feed(self, text: str) -> Sequence[Mark]:
        """What is certain now."""
        return self._read(text, final=False)

    def finish(self) -> Sequence[Mark]:
        """What stands at the end."""
        return self._read("", final=True)

    def _read(self, text: str, *, final: bool) -> list[Mark]:
        self._text += text
        terms, before = self._list, self._before
        view = Letters(self._text, cased=terms.cased)
        letters, size = view.letters, len(view.letters)
        marks: list[Mark] = []
        free = 0  # behind what was found last
        hold = size if final else terms.hold(letters, before, free)
        for start, past, root in terms.beginnings(letters, before):
            if start >= hold:
                break
            if start < free or (end := terms.end(letters, start, past, root)) < 0:
                continue
            marks.append(
                Mark(terms.entity, terms.name, self.decided + view.place(start), self.decided + view.past(end))
            )
            free = end
            while free < size and view.place(free) < view.past(end):
                free += 1
            if free > hold:
                hold = terms.hold(letters, before, free)
        while 0 < hold < size and view.place(hold - 1) == view.place(hold):
            hold -= 1  # one character of the text is several letters
        cut = view.place(hold)
        self._before = (before + letters[:hold])[-2:]
        self._text = self._text[cut:]
        self.decided += cut
        return marks
