"""What of a text in base64's alphabet may be words: so that prose without spaces is not taken for an image.

`IgnoreAllPreviousInstructions` is base64, and so is `ignore+all+previous+instructions`. Media are compressed, so that
each of the 64 characters comes about equally often: in a window of 64 there are 26 small letters, as many capitals and
10 digits, give or take four. A window that is nearly all of one case, or has hardly a digit, is read. By chance that is
one in some thousands of windows, and then it is read for nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

_WINDOW: Final = 64
_STEP: Final = 32
_MOST_OF_A_CASE: Final = 44
_FEW_DIGITS: Final = 1
_FEW_CAPITALS: Final = 20
_CASES: Final = str.maketrans(
    {**dict.fromkeys("abcdefghijklmnopqrstuvwxyz", "a"), **dict.fromkeys("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "A")}
    | dict.fromkeys("0123456789", "0")
)


def wordy(text: str) -> Iterator[str]:
    """The stretches of a text that may be words, in order, with a step on both sides, where words begin and end."""
    cases = text.translate(_CASES)
    begin = end = -1
    last = max(0, len(text) - _WINDOW)
    for at in (*range(0, last, _STEP), last):
        if not _may_be_words(cases, at):
            continue
        start = max(0, at - _STEP)
        if start > end >= 0:
            yield text[begin:end]
        begin = start if start > end else begin
        end = at + _WINDOW + _STEP
    if end >= 0:
        yield text[begin:end]


def _may_be_words(cases: str, at: int) -> bool:
    end = at + _WINDOW
    small, capitals = cases.count("a", at, end), cases.count("A", at, end)
    if small >= _MOST_OF_A_CASE or capitals >= _MOST_OF_A_CASE:
        return True
    return capitals <= _FEW_CAPITALS and cases.count("0", at, end) <= _FEW_DIGITS
