"""The normalised view: what a reader sees, one byte a visible code point, so that a disguise does not hide a value.

Detection reads the view and never the text, and replacement maps back. What a code point looks like says
`tidegate.filtering.glyphs`; what cannot be seen is dropped, and belongs to a match only when it stands inside one.
Escapes (`tidegate.filtering.escapes`) are then undone, up to `DEPTH` times, since one may be written in another: each
is one byte of the view, and the text behind it one piece. What may become an escape at the end of a chunk is no part of
the view before that is known: it is given back to be folded with the text to come. As each level reads from left to
right, and each escape is bounded, the view of a text does not depend on how it is cut.

A run of more than `MAX_INVISIBLE` dropped characters is cut to that length, in the text too: nobody sees the
difference, and neither the memory that a held value takes nor a place to hide in stays without bound.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from typing import Final, NamedTuple

from tidegate.filtering import escapes
from tidegate.filtering.glyphs import DROPPED, GLYPHS, letter
from tidegate.filtering.offsets import Gap, Offsets, Unit, joined

MAX_INVISIBLE: Final = 16
"""Dropped characters that may follow each other, in code points or escapes."""

DEPTH: Final = 3
"""How many times escapes are undone."""

_DROPPED_RUN = re.compile(rb"\x80+")


class Folded(NamedTuple):
    """A piece of text and its view.

    `gaps` says where they differ. `invisible` is the length of the run of dropped characters that the text ends with.
    `rest` stands behind the text and waits for more.
    """

    text: str
    view: bytes
    gaps: list[Gap]
    invisible: int
    rest: str = ""


def fold(text: str, invisible: int = 0, *, final: bool = True) -> Folded:
    """The view of a text that follows a run of `invisible` dropped characters. Lone surrogates are read as `OTHER`."""
    folded = seen(text, invisible)
    if not escapes.may_stand_in(folded.view):
        return folded
    return _unescaped(folded, invisible, final=final)


def seen(text: str, invisible: int) -> Folded:
    """The same with escapes as they are written: what cannot be seen is dropped, and long runs of it cut."""
    if text.isascii():
        return Folded(text, text.encode(), [], 0 if text else invisible)
    raw = text.translate(GLYPHS).encode("latin-1")
    if DROPPED not in raw:
        return Folded(text, raw, [], 0)
    kept: list[str] = []
    gaps: list[Gap] = []
    at = dropped = tail = 0
    for run in _DROPPED_RUN.finditer(raw):
        start, end = run.span()
        before = invisible if start == 0 else 0
        stay = max(0, min(end - start, MAX_INVISIBLE - before))
        kept.append(text[at : start + stay])
        gaps += [Gap(2 * (start - dropped), 1)] * stay
        at, dropped = end, dropped + end - start
        tail = before + stay if end == len(raw) else 0
    kept.append(text[at:])
    return Folded("".join(kept), raw.replace(b"\x80", b""), gaps, tail)


def _unescaped(folded: Folded, before: int, *, final: bool) -> Folded:
    """The same with escapes undone."""
    text, view, gaps, invisible, rest = folded
    unseen = False
    for _ in range(DEPTH):
        # Where no escape can be too long, how long they are need not be counted.
        found, stop = _escapes(view, gaps if len(text) >= escapes.MAX_WRITTEN else (), final=final)
        if stop < len(view):
            cut = Offsets(gaps).start(stop) if gaps else stop
            text, rest, view = text[:cut], text[cut:] + rest, view[:stop]
            gaps = [gap for gap in gaps if gap.key <= 2 * stop]
        elif not found:
            break
        view, gaps = _shortened(view, found), joined(found, gaps)
        unseen = unseen or any(not byte for _, _, _, byte in found)
    if unseen:
        text, gaps = _cut(text, gaps, before)
    invisible = len(gaps) - bisect_left(gaps, (2 * len(view), 0))
    return Folded(text, view, gaps, invisible if view else before + invisible, rest)


def _escapes(view: bytes, gaps: Sequence[Gap], *, final: bool) -> tuple[list[Unit], int]:
    if not gaps:
        return escapes.units(view, int.__rsub__, final=final)
    offsets = Offsets(gaps)
    return escapes.units(view, lambda start, end: offsets.end(end) - offsets.start(start), final=final)


def _shortened(view: bytes, units: list[Unit]) -> bytes:
    parts: list[bytes] = []
    at = 0
    for start, end, _, byte in units:
        parts += view[at:start], byte
        at = end
    parts.append(view[at:])
    return b"".join(parts)


def _cut(text: str, gaps: list[Gap], run: int) -> tuple[str, list[Gap]]:
    """Runs of dropped characters and escapes are cut together: `run` of them stand before the text."""
    parts: list[str] = []
    kept: list[Gap] = []
    at = sizes = 0
    last = 0
    for gap in gaps:
        key, size = gap
        place = (key + 1) // 2 + sizes
        run = run + 1 if key == last else 1
        last, sizes = key, sizes + size
        if key % 2 == 0 and run > MAX_INVISIBLE:
            parts.append(text[at:place])
            at = place + size
        else:
            kept.append(gap)
    parts.append(text[at:])
    return "".join(parts), kept


def plain(text: str) -> str:
    """What a reader sees in a matched value, as text: disguises undone and letters kept."""
    _, view, gaps, *_ = seen(text, 0)
    chars = [letter(char) for char in text if GLYPHS[ord(char)] != chr(DROPPED)]
    for _ in range(DEPTH if escapes.may_stand_in(view) else 0):
        found, _ = _escapes(view, gaps, final=True)
        for start, end, char, byte in reversed(found):
            chars[start:end] = [letter(char)] if byte else []
        view, gaps = _shortened(view, found), joined(found, gaps)
    return "".join(chars)
