"""How a detector of passages is run over a text: whole, and cut into pieces."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import strategies as st
from tidegate.filtering.spotting import Mark, Spotter


def marks_of(spotter: Spotter, chunks: Iterable[str]) -> list[Mark]:
    """What is told of a text, and that it is told as promised: in order, once, and not before the place decided."""
    reading = spotter.open()
    told: list[Mark] = []
    decided = fed = 0
    for chunk in chunks:
        new = [*reading.feed(chunk)]
        fed += len(chunk)
        assert all(decided <= mark.start < mark.end <= fed for mark in new), (decided, new)
        assert all(mark.start < reading.decided for mark in new), (reading.decided, new)
        told += new
        assert decided <= reading.decided <= fed
        decided = reading.decided
        assert fed - decided <= spotter.cap, (fed - decided, spotter.cap)
    told += (last := reading.finish())
    assert all(decided <= mark.start < mark.end <= fed for mark in last), (decided, last)
    assert [mark.start for mark in told] == sorted(mark.start for mark in told)
    return told


def found(spotter: Spotter, text: str) -> list[str]:
    """The passages found in a whole text."""
    return [text[mark.start : mark.end] for mark in marks_of(spotter, [text])]


def cut(text: str, places: Iterable[int]) -> list[str]:
    """A text in pieces, cut at these places."""
    at = sorted({place % (len(text) + 1) for place in places})
    return [text[a:b] for a, b in zip([0, *at], [*at, len(text)], strict=True)]


cuts = st.lists(st.integers(0, 4000), max_size=12)
