"""CHANGELOG.md: each visible change once, whole, and below the heading of what it is about.

Branches add lines side by side, and a merge keeps those of both (`merge=union`): what that may do to a list is what
this looks for.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

PAGE = Path(__file__).parents[1] / "CHANGELOG.md"
SECTIONS = [
    "Running it",
    "Envoy",
    "Who calls",
    "Policies",
    "Limits, money and capacity",
    "Requests and prompts",
    "What is found",
    "Responses",
    "API and Python client",
    "Records, metrics and traces",
    "Speed and memory",
    "Measured",
]


def releases() -> list[tuple[str, list[str]]]:
    """The name of each release, and its sections."""
    _, *parts = re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)
    return [(part.partition("\n")[0], re.split(r"^### ", part, flags=re.MULTILINE)) for part in parts]


def entries() -> list[str]:
    _, *found = re.split(r"^- ", re.sub(r"^#.*\n", "", PAGE.read_text(), flags=re.MULTILINE), flags=re.MULTILINE)
    return found


def test_no_change_is_told_twice() -> None:
    assert len(entries()) > 100
    assert [entry for entry, times in Counter(" ".join(e.split()) for e in entries()).items() if times > 1] == []


def test_every_change_stands_below_a_heading_that_is_there_once() -> None:
    for release, (before, *sections) in releases():
        titles = [section.partition("\n")[0] for section in sections]
        assert titles == [title for title in SECTIONS if title in titles], release
        assert "\n- " not in before, release
        assert all("\n- " in section for section in sections), release


def test_no_change_is_torn() -> None:
    """A line that was changed on one side of a merge, and moved on the other, stands below another's end."""
    for entry in entries():
        lines = entry.strip().splitlines()
        assert lines[-1].endswith("."), entry
        assert all(re.match(r"  \S", line) for line in lines[1:]), entry
        assert not any(end.endswith(".") and re.match(r"  [a-z]", line) for end, line in pairwise(lines)), entry
