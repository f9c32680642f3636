"""What `tidegate filter` says of one input: each finding and where it stands, and the receipt."""

from __future__ import annotations

import json
from bisect import bisect_right
from codecs import getincrementaldecoder
from collections.abc import Iterator
from typing import Any

from tidegate.filtering.formats import Coverage
from tidegate.filtering.witness import Found

# Two of the code points that Unicode keeps free of characters for the use inside of programs.
START = "\ufdd0"
END = "\ufdd1"
"""Around what was put in, where it is to be highlighted."""


class Report:
    """A witness of one input. `lined` says that places are lines and columns, `marks` that what is put in is marked."""

    def __init__(self, name: str, *, marks: bool = False, lined: bool = False) -> None:
        self._name = name
        self._marks = marks
        self._lined = lined
        self._decoder = getincrementaldecoder("utf-8")("replace")
        self._breaks: list[int] = []  # where lines end, in characters
        self._size = 0
        self._found: list[tuple[str, Found]] = []
        self._waiting: list[Found] = []
        self._coverage: Coverage | None = None
        self.blocked = False

    @property
    def found_any(self) -> bool:
        """Whether anything was found."""
        return self._coverage is not None and bool(self._coverage.findings)

    @property
    def waiting(self) -> bool:
        """Whether findings wait for their place."""
        return bool(self._waiting)

    def found(self, found: Found) -> str:
        """Note a value."""
        if self._lined:
            self._found.append((self._line(found.start), found))
        elif found.where:
            self._found.append((found.where, found))
        else:
            self._waiting.append(found)
        if not found.instead:
            return ""
        return f"{START}{found.instead}{END}" if self._marks else found.instead

    def placed(self, path: tuple[str | int, ...], where: str) -> None:
        """The values that wait stand here, as a JSON pointer (RFC 6901)."""
        steps = [str(step).replace("~", "~0").replace("/", "~1") for step in path]
        place = "".join(f"/{step}" for step in steps) or where
        self._found += [(place, found) for found in self._waiting]
        self._waiting = []

    def read(self, data: bytes) -> None:
        """Count lines, where they are the places."""
        if not self._lined:
            return
        text = self._decoder.decode(data)
        at = text.find("\n")
        while at >= 0:
            self._breaks.append(self._size + at)
            at = text.find("\n", at + 1)
        self._size += len(text)

    def end(self, coverage: Coverage, *, blocked: bool) -> None:
        """The input is over."""
        self.placed((), "")
        self._coverage = coverage
        self.blocked = blocked

    def lines(self, *, explain: bool, values: bool, as_json: bool) -> Iterator[str]:
        """The findings, when they are to be explained, and the receipt. Without `values` no found value is in them."""
        for where, found in self._found if explain else ():
            yield json.dumps(self._record(where, found)) if as_json else self._sentence(where, found, values)
        coverage = self._coverage
        if coverage is None:
            return
        if as_json:
            yield json.dumps(self._receipt(coverage))
        else:
            yield f"{self._name}: {coverage.header()}{'; blocked' if self.blocked else ''}"

    def _line(self, start: int) -> str:
        line = bisect_right(self._breaks, start - 1)
        return f"{line + 1}:{start - (self._breaks[line - 1] if line else -1)}"

    def _record(self, where: str, found: Found) -> dict[str, Any]:
        record: dict[str, Any] = {"file": self._name, "where": where, "entity": found.entity}
        return record | {"detector": found.detector, "act": found.act, "instead": found.instead}

    def _sentence(self, where: str, found: Found, values: bool) -> str:
        place = f"{self._name}:{where}" if self._lined else f"{self._name}: {_printable(where)}".rstrip()
        value = f" '{_printable(found.value)}'" if values else ""
        instead = f": {_printable(found.instead)}" if found.instead else ""
        return f"{place}: {found.entity}{value} (by {found.detector}), {found.act}{instead}"

    def _receipt(self, coverage: Coverage) -> dict[str, Any]:
        structure = {"structure": coverage.structure} if coverage.structure else {}
        return {
            "file": self._name,
            "format": coverage.format,
            "scanned_bytes": coverage.scanned_bytes,
            "skipped_bytes": coverage.skipped_bytes,
            "scanned_fields": coverage.scanned_fields,
            "skipped_fields": coverage.skipped_fields,
            "skipped": dict(coverage.skipped),
            "findings": [
                {"entity": entity, "act": act, "count": count}
                for (entity, act), count in sorted(coverage.findings.items())
            ],
            "blocked": self.blocked,
            **structure,
        }


def _printable(text: str) -> str:
    """`text` in one line, and nothing in it that a terminal would obey."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
