"""What is encoded in a view, said anew: groups are tried one by one, and nothing is compiled or put off."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from tidegate.filtering.detector import Hit
from tidegate.filtering.offsets import Offsets
from tidegate.filtering.view import fold

FEW = {4: 3, 2: 8}
SYMBOLS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_"


def _decoded(group: bytes, chars: int) -> bytes | None:
    """The bytes of a group or of a part of one; None when one is not ASCII, or in base16 not printed."""
    if chars == 2:
        try:
            found = binascii.unhexlify(group)
        except ValueError:
            return None
        return found if b" " <= found < b"\x80" or found in b"\t\n\r" else None
    if not all(char in SYMBOLS for char in group):
        return None
    found = base64.urlsafe_b64decode(group.replace(b"+", b"-").replace(b"/", b"_") + b"A" * (4 - len(group)))
    found = found[: len(group) - 1]
    return found if found.isascii() else None


class Chain(NamedTuple):
    """`text` stands at `start`, in so many groups of so many `chars`; with a tail and padding it reaches to `stop`."""

    chars: int
    start: int
    groups: int
    stop: int
    text: bytes

    def first(self, at: int, search: Callable[[bytes, int], Hit | None]) -> Hit | None:
        """The first value that is decided at a group from `at` on."""
        size = {4: 3, 2: 1}[self.chars]
        folded = fold(self.text.decode())
        cut = len(folded.text) < len(self.text)
        view, offsets = (self.text, Offsets()) if cut else (folded.view, Offsets(folded.gaps))
        begin = max(0, -(-(at - self.start) // self.chars)) * size
        hit = search(view, offsets.after(begin))
        if hit is None:
            return None
        row, place, start, over = hit.detector, offsets.start(hit.at), offsets.start(hit.start), hit.over
        first = end = offsets.end(hit.end)
        while (more := search(view, hit.end)) is not None and offsets.start(more.at) < -(-end // size) * size:
            hit, over, end = more, over or more.over, offsets.end(more.end)
        last = -(-end // size)
        return Hit(
            replace(row, run=r"[0-9A-Za-z+\x2f=_-]") if over else row,
            self.start + place // size * self.chars,
            self.start + start // size * self.chars,
            self.stop if last > self.groups else self.start + last * self.chars,
            over,
            self.text[start:first].decode(),
        )


def written_otherwise(view: bytes) -> list[Chain]:
    """Every chain of groups that is long enough."""
    chains = []
    for chars in FEW:
        for start in range(len(view) - chars + 1):
            if start >= chars and _decoded(view[start - chars : start], chars) is not None:
                continue
            at, text = start, b""
            while len(group := view[at : at + chars]) == chars and (part := _decoded(group, chars)) is not None:
                at, text = at + chars, text + part
            groups, stop = (at - start) // chars, at
            for size in (3, 2) if chars == 4 else ():
                tail = view[at : at + size]
                if len(tail) == size and (part := _decoded(tail, chars)) is not None:
                    text, stop = text + part, at + size
                    break
            most = at + chars - stop
            padding = len(view[stop : stop + most]) - len(view[stop : stop + most].lstrip(b"="))
            padded = stop > at and stop - at + padding >= 4
            stop += padding if stop > at else 0
            if groups >= FEW[chars] or (chars == 4 and groups == 2 and padded):
                chains.append(Chain(chars, start, groups, stop, text))
    return chains
