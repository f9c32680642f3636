"""Values in base64 (RFC 4648, sections 4 and 5) or base16 (section 8): what such text stands for is read as well.

Text of either is read in *groups*: four characters of base64 for three bytes, two of base16 for one. Groups that stand
for ASCII, one after another, are a chain, wherever it begins and whatever is around it (white space, a path, `data:`);
a chain of at least nine bytes, eight in base16, or seven in padded base64 is decoded, its escapes undone, and searched
by the same detectors. A value found is replaced with the whole groups that it stands in. So nothing depends on how long
the encoded text is: it is never held as a whole, but as long as the value needs that may begin in it. Text outside
ASCII ends a chain, and the next begins behind it. What is encoded twice is not seen.
"""

from __future__ import annotations

import base64
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from tidegate.filtering import grammar
from tidegate.filtering.detector import UNANCHORED, Detector, Hit, matcher
from tidegate.filtering.offsets import Offsets
from tidegate.filtering.view import fold

if TYPE_CHECKING:
    from tidegate.filtering.scanner import Look, Scanner

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_URL_SAFE = bytes.maketrans(b"-_", b"+/")


class Codec(NamedTuple):
    """A way of writing bytes: `chars` characters, a `group`, for `size` bytes. All but the numbers are patterns.

    `few` is the shortest chain, `tail` what may stand behind the last group of one, with padding, and `part` the
    beginning of a group or a tail, that may go on.
    """

    chars: int
    size: int
    group: str
    few: str
    tail: str
    part: str
    decode: Callable[[bytes], bytes]

    @property
    def chains(self) -> re.Pattern[bytes]:
        """Matches where chains begin; group 1 are the groups, and 2 the tail."""
        ahead = f"((?:{self.group})++)({self.tail})"
        return re.compile(f"(?<!{self.group})(?={self.few})(?={ahead})".encode())


def _with_bit_clear(bit: int) -> str:
    return "[" + "".join(char for index, char in enumerate(_ALPHABET) if not index >> bit & 1) + "]"


def _decode64(text: bytes) -> bytes:
    missing = -len(text) % 4
    decoded = base64.b64decode(text.translate(_URL_SAFE) + b"A" * missing)
    return decoded[: len(decoded) - missing]


_FIRST, _SECOND, _THIRD = map(_with_bit_clear, (5, 3, 1))  # of a group of ASCII: the top bits of its three bytes
_ANY = r"[0-9A-Za-z+\x2f_-]"
_GROUP = f"{_FIRST}{_SECOND}{_THIRD}{_ANY}"
_PAIR = "(?:[2-7][0-9A-Fa-f]|0[9ADad])"
_BASE64 = Codec(
    chars=4,
    size=3,
    group=_GROUP,
    few=f"(?:{_GROUP}){{2}}(?:{_GROUP}|{_FIRST}(?:{_ANY}==|{_SECOND}{_ANY}=))",
    tail=f"(?:{_FIRST}(?:{_SECOND}{_ANY}=?|{_ANY}={{0,2}}))?",
    part=f"(?:{_FIRST}(?:{_ANY}=?|{_SECOND}{_ANY})?)?",
    decode=_decode64,
)
_BASE16 = Codec(
    chars=2,
    size=1,
    group=_PAIR,
    few=f"(?:{_PAIR}){{8}}",
    tail="",
    part="[02-7]?",
    decode=lambda text: bytes.fromhex(text.decode()),
)
_CODECS = [(codec, codec.chains, re.compile(codec.part.encode())) for codec in (_BASE64, _BASE16)]
_FEW = grammar.parse(f"{_BASE64.few}|{_BASE16.few}")
_LEAST = grammar.longest(_FEW) or 0
_CHARS = bytes(grammar.alphabet(_FEW))
_some = matcher(grammar.render(_FEW))
_unfinished = matcher(rf"(?:{grammar.prefixes(_FEW)})\z")
BEGINS: Final = grammar.render(_FEW)
"""A pattern for RE2 of what every text has in which something is encoded."""


def first_chain(view: bytes, clean: int) -> int:
    """Where something encoded begins, -1 where nothing is. In the first `clean` bytes nothing is."""
    start = clean - _LEAST
    found: int = _some(UNANCHORED, view, start if start > 0 else 0, len(view))[0][0]
    return found


def half_chain(view: bytes, start: int, end: int) -> int:
    """Where from `start` on what may become the shortest chain begins, or `end` if none begins before."""
    if end <= len(view.rstrip(_CHARS)):
        return end
    size = len(view)
    low = size - _LEAST
    found: int = _unfinished(UNANCHORED, view, low if low > start else start, size)[0][0]
    return found if found < end else end


def context(reach: int) -> int:
    """How many characters are as many bytes of what is encoded, and the shortest chain."""
    return 2 * reach + _LEAST


@lru_cache(maxsize=1024)
def _endless(row: Detector) -> Detector:
    """The row, of which a value is longer than its cap: what goes on with it is more of what is encoded."""
    return replace(row, run=r"[0-9A-Za-z+\x2f=_-]")


class Encoded:
    """What is encoded in a view from `first_chain` on, under a scanner."""

    __slots__ = ("_active", "_chains", "_open")

    def __init__(self, view: bytes, begin: int, scanner: Scanner) -> None:
        self._active: list[_Chain] = []
        self._chains: list[_Chain] = []  # that come next, the first of them at the end
        self._open: list[_Chain] = []
        for codec, chains, part in _CODECS:
            for match in chains.finditer(view, begin):
                chain = _Chain(codec, view, match, scanner)
                self._chains.append(chain)
                if part.fullmatch(view, match.end(1)):
                    self._open.append(chain)
        self._chains.sort(key=lambda chain: -chain.start)

    def find(self, at: int) -> Hit | None:
        """The first value from `at` on, which never decreases."""
        chains, active = self._chains, self._active
        best: Hit | None = None
        self._active = []
        while active or (chains and (best is None or chains[-1].start < best.at)):
            chain = active.pop(0) if active else chains.pop()
            hit = chain.find(at)
            if hit is not None:
                self._active.append(chain)
                if best is None or hit.at < best.at:
                    best = hit
        return best

    def waiting(self, start: int) -> int:
        """The leftmost position from `start` on about which text to come can still change the answer, or no less."""
        return min((chain.waiting(start) for chain in self._open), default=sys.maxsize)


class _Value(NamedTuple):
    """A value in what a chain stands for, by its bytes; see `Hit`."""

    row: Detector
    at: int
    start: int
    end: int
    over: bool


class _Chain:
    """Groups that stand one after another, read when they are asked for."""

    __slots__ = ("_codec", "_hit", "_look", "_offsets", "_scanner", "_spans", "_text", "_view", "_written", "start")

    def __init__(self, codec: Codec, view: bytes, match: re.Match[bytes], scanner: Scanner) -> None:
        self.start = match.start()
        self._codec = codec
        self._scanner = scanner
        self._written = view
        self._spans = match.end(1), match.end(1) + len(match[2].rstrip(b"=")), match.end(2)
        self._look: Look | None = None
        self._hit: Hit | None = None

    def find(self, at: int) -> Hit | None:
        """The first value that is decided at a group from `at` on, which never decreases."""
        if self._look is None:
            self._begin()
            self._look = self._scanner.look(self._view, within=False)
        elif self._hit is None or self._hit.at >= at:
            return self._hit
        value = self._next(self._look, self._bytes(at))
        self._hit = value and self._as_written(value)
        return self._hit

    def waiting(self, start: int) -> int:
        """As `Encoded.waiting`, of a chain that may go on."""
        _, view, offsets = self._read(self._spans[0], final=False)
        scan = self._scanner.look(view, within=False)

        def known(at: int) -> int:
            """How many bytes are decided, or not asked for as they stand before `at`."""
            at = offsets.after(at)
            return offsets.start(scan.hold(at) if at < len(view) else len(view))

        size = self._codec.size
        at = self._bytes(start)
        decided = known(at)
        self._begin()
        look = self._scanner.look(self._view, within=False)
        while (value := self._next(look, at)) is not None and value.at // size < decided // size:
            at = -(-value.end // size) * size
            if at > decided:
                decided = known(value.end)
                if at > decided:  # another value may begin in the group in which this one ends
                    decided = value.at
                    break
        return max(start, self.start + decided // size * self._codec.chars)

    def _begin(self) -> None:
        self._text, self._view, self._offsets = self._read(self._spans[1], final=True)

    def _read(self, end: int, *, final: bool) -> tuple[str, bytes, Offsets]:
        """What stands for the characters up to `end`, its view, and where in the one the other is."""
        text = self._codec.decode(self._written[self.start : end]).decode()
        folded = fold(text, final=final)
        if len(folded.text) + len(folded.rest) < len(text):  # a run of escapes for what is not seen was cut
            return text, text.encode(), Offsets()
        return text, folded.view, Offsets(folded.gaps)

    def _bytes(self, at: int) -> int:
        """How many bytes the groups stand for that begin before `at`."""
        return max(0, -(-(at - self.start) // self._codec.chars)) * self._codec.size

    def _next(self, look: Look, at: int) -> _Value | None:
        """The first value that is decided from this byte on, and all that begin in the group in which it ends."""
        offsets, size, most = self._offsets, self._codec.size, len(self._view)
        hit = look.find(offsets.after(at), most)
        if hit is None:
            return None
        row, place, start, over = hit.detector, offsets.start(hit.at), offsets.start(hit.start), hit.over
        while True:
            end = offsets.end(hit.end)
            more = look.find(hit.end, min(offsets.after(-(-end // size) * size), most))
            if more is None:
                return _Value(row, place, start, end, over)
            hit, over = more, over or more.over

    def _as_written(self, value: _Value) -> Hit:
        row, at, start, end, over = value
        size, chars = self._codec.size, self._codec.chars
        stop = self.start + -(-end // size) * chars
        if stop > self._spans[0]:
            stop = self._spans[2]
        row = _endless(row) if over else row
        at, begin = (self.start + place // size * chars for place in (at, start))
        return Hit(row, at, begin, stop, over, self._text[start:end])
