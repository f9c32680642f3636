"""The receipt of one response: what was read, what was not and why, and what was found."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from tidegate.filtering.spotting import Unread
from tidegate.filtering.staged import Rewriting

_UNSAFE = re.compile(r"[^A-Za-z0-9_.\-/*~]")


class Progress(NamedTuple):
    """Characters of texts that come in pieces: those taken in, and those of them that are held back now."""

    taken: int = 0
    held: int = 0


WHOLE = Progress()
"""Of a body whose texts are read whole, or not at all."""


@dataclass(frozen=True)
class Coverage:
    """What was read of one response. Every byte of the input is either scanned or skipped.

    Fields are string values, numbers and lines. Punctuation, white space and literals are skipped bytes and no field.
    `skipped` says why fields were not read. Its `not_incremental` are strings that no known dialect sends whole: they
    were rewritten each within its event, which says nothing of a value that two events share. Its `nesting` qualifies
    fields that were read, but only on the surface, and is therefore not part of `skipped_fields`; nor are its
    `policy_keys`, for keys are no fields. `policy` are fields that the policy does not choose, `policy/a/b` those which
    it skips by the pointer `/a/b`. `moderation_unavailable` are passages that were let pass without the judgement
    that the policy wants, inside of fields that all other detectors read: their bytes are no scanned ones. `structure`
    says how the body matched the endpoint's schemas, "" where it has none: "valid", "unchecked", or what broke which
    place of its schema first.
    """

    format: str
    scanned_bytes: int
    skipped_bytes: int
    scanned_fields: int
    skipped_fields: int
    skipped: Mapping[str, int]
    findings: Mapping[tuple[str, str], int]
    failure: str = ""
    structure: str = ""

    def header(self) -> str:
        """The receipt as the value of an HTTP header."""
        return self._header

    @cached_property
    def _header(self) -> str:
        parts = [
            f"format={_word(self.format)}",
            f"scanned={self.scanned_bytes}",
            f"skipped={self.skipped_bytes}",
            f"fields={self.scanned_fields}",
        ]
        if self.skipped:
            parts.append("unread=" + ",".join(f"{_word(why)}:{self.skipped[why]}" for why in sorted(self.skipped)))
        if self.findings:
            found = (f"{_word(entity)}:{_word(act)}:{n}" for (entity, act), n in sorted(self.findings.items()))
            parts.append("findings=" + ",".join(found))
        if self.structure:
            parts.append(f"structure={_word(self.structure)}")
        if self.failure:
            parts.append(f"failure={_word(self.failure)}")
        return "; ".join(parts)


def _word(text: str) -> str:
    return _UNSAFE.sub("_", text)


@dataclass(slots=True)
class Tally:
    """A receipt in the making."""

    format: str
    total_bytes: int = 0
    scanned_bytes: int = 0
    scanned_fields: int = 0
    skipped_fields: int = 0
    notes: Counter[str] = field(default_factory=Counter)
    findings: Counter[tuple[str, str]] = field(default_factory=Counter)
    unread_bytes: int = 0
    failure: str = ""

    def skip(self, why: str, fields: int = 1) -> None:
        """Count fields that were not read."""
        if not fields:
            return
        self.skipped_fields += fields
        self.notes[why] += fields

    def unchosen(self, why: str, *, key: bool) -> None:
        """Count a field, or a key, that the policy does not want read."""
        if not key:
            self.skip(why)
        elif why == "policy_keys":
            self.notes[why] += 1

    def found(self, findings: Mapping[tuple[str, str], int]) -> None:
        """Add what one rewriter found."""
        for kind, count in findings.items():
            self.findings[kind] += count

    def unread(self, unread: Unread) -> None:
        """Count what one rewriter let pass though not every detector had read it."""
        self.notes.update(unread.pieces)
        self.unread_bytes += unread.size

    def receipt(self, running: Iterable[Rewriting] = ()) -> Coverage:
        """The receipt so far, with what rewriters that still run have found, and what is unread of their texts."""
        notes, findings, unread_bytes = dict(self.notes), dict(self.findings), self.unread_bytes
        for rewriter in running:
            for kind, count in rewriter.findings.items():
                findings[kind] = findings.get(kind, 0) + count
            for why, count in rewriter.unread.pieces.items():
                notes[why] = notes.get(why, 0) + count
            unread_bytes += rewriter.unread.size
        scanned = max(0, self.scanned_bytes - unread_bytes)
        return Coverage(
            self.format,
            scanned,
            self.total_bytes - scanned,
            self.scanned_fields,
            self.skipped_fields,
            notes,
            findings,
            self.failure,
        )


def size(text: str) -> int:
    """The length of `text` in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
