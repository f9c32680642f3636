"""Values in base64 or base16: what such text stands for is read as well.

A chain of groups (`tidegate.filtering.encodings`), wherever it begins and whatever is around it (white space, a path,
`data:`), is decoded, its escapes undone, and searched by the same detectors. A value found is replaced with the whole
groups that it stands in. So nothing depends on how long the encoded text is: it is never held as a whole, but as long
as the value needs that may begin in it. Text outside ASCII ends a chain, and the next begins behind it. What is encoded
twice is not seen.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from operator import attrgetter
from typing import TYPE_CHECKING, Final, NamedTuple

from tidegate.filtering.detector import Detector, Hit
from tidegate.filtering.encodings import CODECS, Codec
from tidegate.filtering.escapes import may_stand_in
from tidegate.filtering.offsets import Offsets
from tidegate.filtering.view import fold

if TYPE_CHECKING:
    from tidegate.filtering.scanner import Look, Scanner

_SHORT: Final = 64
_STRAIGHT: Final = Offsets()


@lru_cache(maxsize=1024)
def _endless(row: Detector) -> Detector:
    """The row, of which a value is longer than its cap: what goes on with it is more of what is encoded."""
    return replace(row, run=r"[0-9A-Za-z+\x2f=_-]")


_start = attrgetter("start")


class Encoded:
    """What is encoded in a view, under a scanner."""

    __slots__ = ("_active", "_chains", "_open", "_scanner", "_starts")

    def __init__(self, view: bytes, begin: int, scanner: Scanner) -> None:
        """`begin` is the first place that is asked for."""
        self._scanner = scanner
        self._starts = [_Starts(codec, view, begin) for codec in CODECS]
        self._active: list[_Chain] = []  # that were asked, and may have more
        self._chains: list[_Chain] = []  # that come next, the first of them at the end
        self._open: list[_Chain] = []

    def find(self, at: int, end: int) -> Hit | None:
        """The first value that is decided from `at` on and before `end`. `at` never decreases."""
        self._reach(end)
        chains, active = self._chains, self._active
        best: Hit | None = None
        self._active = []
        while active or (chains and chains[-1].start < end):
            chain = active.pop() if active else chains.pop()
            hit = chain.find(at)
            if hit is not None:
                self._active.append(chain)
                if hit.at < end:
                    best, end = hit, hit.at
        return best

    def waiting(self, start: int, end: int) -> int:
        """The leftmost position from `start` on about which text to come can still change the answer, or `end`."""
        self._reach(end)
        return min([end, *(chain.waiting(start) for chain in self._open if chain.start < end)])

    def _reach(self, end: int) -> None:
        """Know of all chains that begin before `end`."""
        found = [chain for starts in self._starts for chain in starts.until(end, self._scanner)]
        if found:
            self._open += [chain for chain in found if chain.may_go_on()]
            found.sort(key=_start, reverse=True)
            self._chains[:0] = found


class _Starts:
    """Where chains of a codec begin, looked for no further than is asked in a view that a stream has at a time."""

    __slots__ = ("_at", "_codec", "_through", "_view")

    def __init__(self, codec: Codec, view: bytes, begin: int) -> None:
        self._codec = codec
        self._view = view
        self._at = begin + 1
        self._through = set(self._leftmost(begin))

    def _leftmost(self, begin: int) -> Iterator[int]:
        """Where groups begin that stand one after another up to one in which, or before which, `begin` is."""
        chars = self._codec.chars
        backwards = self._view[begin + chars - 1 :: -1]
        size = len(backwards)
        for lane in range(begin, begin - chars, -1):
            for at in (lane, lane - chars):  # what the first is part of has the second in it
                groups = self._codec.back.match(backwards, size - at - chars) if 0 <= at <= size - chars else None
                if groups is not None:
                    yield size - groups.end()
                    break

    def until(self, end: int, scanner: Scanner) -> Iterator[_Chain]:
        """The chains that begin before `end` and have not been told."""
        codec, view, begins = self._codec, self._view, self._through
        if end > self._at:
            fresh = codec.begins.finditer(view, self._at, min(end + codec.least - 1, len(view)))
            begins = begins.union(match.start() for match in fresh)
            self._at = end
        self._through = set()
        for begin in begins:
            match = codec.chains.match(view, begin)
            if match is not None and not self._holds_nothing(match, scanner):
                yield _Chain(codec, match, scanner)

    def _holds_nothing(self, match: re.Match[bytes], scanner: Scanner) -> bool:
        """Whether a chain is short and over, and not even a proposal: as nearly all are that stand there by chance."""
        start, end = match.span(1)
        if end - start > _SHORT or len(self._view) - end < self._codec.chars:
            return False
        raw = self._codec.decode(_encoded(match))
        return not may_stand_in(raw) and scanner.sees_nothing(raw)


def _encoded(chain: re.Match[bytes]) -> bytes:
    """The groups of a chain and its tail, without padding."""
    return chain[1] + chain[2].rstrip(b"=") if chain[2] else chain[1]


class _Value(NamedTuple):
    """A value in what a chain stands for, by its bytes (see `Hit`), with those that begin in the group it ends in.

    `hits` are all of them, by the bytes of the view.
    """

    hits: tuple[Hit, ...]
    at: int
    start: int
    end: int
    over: bool


class _Chain:
    """Groups that stand one after another, read when they are asked for."""

    __slots__ = ("_codec", "_look", "_match", "_offsets", "_raw", "_scanner", "_values", "_view", "start")

    def __init__(self, codec: Codec, match: re.Match[bytes], scanner: Scanner) -> None:
        self.start = match.start()
        self._codec = codec
        self._scanner = scanner
        self._match = match
        self._look: Look | None = None
        self._values: deque[_Value] = deque()  # that were found ahead

    def may_go_on(self) -> bool:
        """Whether text to come may be part of it."""
        match, size = self._match, len(self._match.string)
        near = size - match.end(1) < self._codec.chars
        return near and self._codec.part.fullmatch(match.string, match.end(1)) is not None

    def find(self, at: int) -> Hit | None:
        """The first value that is decided at a group from `at` on, which never decreases."""
        look = self._look
        if look is None:
            self._read(_encoded(self._match), final=True)
            look = self._look = self._scanner.look(self._view, within=False)
        values, begin = self._values, self._bytes(at)
        while values and values[0].at < begin:
            if values.popleft().end > begin:  # not taken, as it begins in another
                values.clear()
                look = self._look = look.again()
        if not values:
            value = self._next(look, begin)
            if value is None:
                return None
            values.append(value)
        return self._as_written(values[0])

    def waiting(self, start: int) -> int:
        """The leftmost position from `start` on that text to come can change, of a chain that may go on."""
        self._read(self._match[1], final=False)
        look = self._look = self._scanner.look(self._view, within=False)
        size = self._codec.size
        at = self._bytes(start)
        decided = self._decided(look, at)
        while (value := self._next(look, at)) is not None:
            self._values.append(value)
            if value.at // size >= decided // size:
                break
            at = -(-value.end // size) * size
            if at > decided:
                decided = self._decided(look, value.end)
                if at > decided or not _certain(look, value.hits):  # another may begin in the group in which it ends
                    decided = value.at
                    break
        return max(start, self.start + decided // size * self._codec.chars)

    def _decided(self, look: Look, at: int) -> int:
        """How many bytes are decided, when those before `at` need not be."""
        at = self._offsets.after(at)
        return self._offsets.start(look.hold(at) if at < len(self._view) else len(self._view))

    def _read(self, text: bytes, *, final: bool) -> None:
        """Begin with what these characters of it stand for."""
        self._raw = raw = self._codec.decode(text)
        if not may_stand_in(raw):
            self._view, self._offsets = raw, _STRAIGHT
        else:
            folded = fold(raw.decode(), final=final)
            if len(folded.text) + len(folded.rest) < len(raw):  # a run of escapes for what is not seen was cut
                self._view, self._offsets = raw, _STRAIGHT
            else:
                self._view, self._offsets = folded.view, Offsets(folded.gaps)
        self._values.clear()

    def _bytes(self, at: int) -> int:
        """How many bytes the groups stand for that begin before `at`."""
        return max(0, -(-(at - self.start) // self._codec.chars)) * self._codec.size

    def _next(self, look: Look, at: int) -> _Value | None:
        """The first value that is decided from this byte on, and all that begin in the group in which it ends."""
        offsets, size, most = self._offsets, self._codec.size, len(self._view)
        hit = look.find(offsets.after(at), most)
        if hit is None:
            return None
        hits, place, start, over = [hit], offsets.start(hit.at), offsets.start(hit.start), hit.over
        while True:
            end = offsets.end(hit.end)
            more = look.find(hit.end, min(offsets.after(-(-end // size) * size), most))
            if more is None:
                return _Value(tuple(hits), place, start, end, over)
            hits.append(more)
            hit, over = more, over or more.over

    def _as_written(self, value: _Value) -> Hit:
        (first, *_), at, start, end, over = value
        size, chars = self._codec.size, self._codec.chars
        stop = self.start + -(-end // size) * chars
        if stop > self._match.end(1):
            stop = self._match.end(2)
        row = _endless(first.detector) if over else first.detector
        at, begin = (self.start + place // size * chars for place in (at, start))
        return Hit(row, at, begin, stop, over, self._raw[start : self._offsets.end(first.end)].decode())


def _certain(look: Look, hits: Sequence[Hit]) -> bool:
    """Whether text to come changes none but the first of these values, each of which ends before the next."""
    return all(look.hold(hit.end) > following.at for hit, following in pairwise(hits))
