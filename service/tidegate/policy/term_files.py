"""Files of terms that deny lists and allow lists name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tidegate.filtering.deny_list import MAX_TERM
from tidegate.filtering.letters import letters_of
from tidegate.policy.files import decoded, read_whole

MAX_TERMS: Final = 100_000
MAX_BYTES: Final = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class TermFile:
    """The terms of one file, and the file's bytes for the policy's version."""

    terms: tuple[str, ...]
    content: bytes


def read_terms(path: Path) -> TermFile:
    r"""Read one term a line, without space around it. Empty lines and comments (`#`) are none; `\#` stands for #.

    ValueError says in one sentence what is wrong, and nothing of what the terms are.
    """
    content = read_whole(path, MAX_BYTES)
    terms = []
    for number, line in enumerate(decoded(path, content).split("\n"), 1):
        term = line.strip()
        if not term or term.startswith("#"):
            continue
        term = term.removeprefix("\\") if term.startswith("\\#") else term
        if problem := fault_of(term):
            raise ValueError(f"line {number} of {str(path)!r} {problem}")
        terms.append(term)
    if len(terms) > MAX_TERMS:
        raise ValueError(f"{str(path)!r} has more than {MAX_TERMS:,} terms")
    return TermFile(tuple(dict.fromkeys(terms)), content)


def fault_of(term: str) -> str:
    """What makes a term none, "" for nothing."""
    letters = letters_of(term)
    if not letters:
        return "has nothing that a reader would see"
    if max(len(letters), len(term)) > MAX_TERM:
        return f"is longer than {MAX_TERM} characters"
    return ""
