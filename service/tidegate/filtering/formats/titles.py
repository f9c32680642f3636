"""What a text stands under says what it is: the key of a JSON object, or the head of a column.

`{"password": "..."}` is read as `password: ...`. Nothing else of its place counts, and no item of an array has a name.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from tidegate.filtering import grammar
from tidegate.filtering.detector import Detector, searcher, worded
from tidegate.filtering.detectors import rows_of
from tidegate.filtering.formats.json_text import MAX_STEPS, Path

LONGEST: Final = 64
"""Characters of a name. A longer one says nothing."""

_NAME: Final = re.compile(rf"[A-Za-z][A-Za-z0-9 ._-]{{0,{LONGEST - 1}}}")
_NOTHING: Final = r"[^\x00-\xff]"
_BETWEEN: Final = re.compile(r"[._-]+|(?<=[a-z0-9])(?=[A-Z])")  # the words of a name


def name_of(path: Path) -> str:
    """The name of the string at a path, "" for an item of an array, or for what is deeper than anybody tells."""
    last = path[-1] if 0 < len(path) < MAX_STEPS else ""
    return last if isinstance(last, str) else ""


@lru_cache(maxsize=4096)
def title(entities: frozenset[str], regions: frozenset[str], name: str) -> str:
    """What is read before a text of that name; "" where no pattern of these entities looks for a word in it."""
    if _NAME.fullmatch(name) is None:
        return ""
    before = f"{_BETWEEN.sub(' ', name)}: "
    return before if _words(entities, regions)(before.encode(), 0, len(before)) >= 0 else ""


@lru_cache(maxsize=256)
def _words(entities: frozenset[str], regions: frozenset[str]) -> Callable[[bytes, int, int], int]:
    """A search for what values of these entities have before them, or begin with, that is a word."""
    rows = rows_of(entities, regions)
    patterns = [row.sign or (worded(row.near) if row.near else _said(row)) for row in rows]
    return searcher("|".join(dict.fromkeys(pattern for pattern in patterns if pattern)) or _NOTHING)


def _said(row: Detector) -> str:
    """The words in any case that a row begins with, "" where it does not."""
    body = grammar.parse(row.body)
    if not row.body.startswith("(?i:") or not isinstance(body, grammar.Sequence):
        return ""
    return grammar.render(body.parts[0])
