"""Comma-separated values (RFC 4180), live: each row leaves when it is over, and each cell is a text of its own.

Read by the letter: a quote inside an unquoted cell, or text behind a closing quote, is read in different ways by
different readers, and what a client would see of it is not known. Rows may end in CRLF, LF or CR.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from tidegate.errors import BodyTooLarge, MalformedBody
from tidegate.filtering.formats.coverage import size
from tidegate.filtering.formats.listening import Observer
from tidegate.filtering.formats.live import LiveBody, decode
from tidegate.filtering.formats.reader import Reader
from tidegate.filtering.ruleset import FilterPlan

_END = re.compile(rb"([\r\n])")
_CELL = re.compile(r'(?:"((?:[^"]++|"")*+)"|([^",\r\n]*+))(,|[\r\n]?\Z)')
_SPECIAL = re.compile(r'[",\r\n]')
_BOM = "\ufeff"


class CsvBody(LiveBody[bytes]):
    """One response of rows. It has no ending of its own: a body that is cut off just stops."""

    def __init__(
        self,
        plan: FilterPlan,
        *,
        key: bytes = b"",
        max_bytes: int,
        max_row: int = 262144,
        observer: Observer | None = None,
    ) -> None:
        super().__init__(Reader("csv", plan, key=key))
        self._rows = _Rows(min(max_row, max_bytes))
        self._observer = observer
        self._first = True
        self._heads: list[str] = []  # what stands in the first row

    def _units(self, data: bytes | None) -> Iterable[bytes]:
        return self._rows.finish() if data is None else self._rows.feed(data)

    def _unit(self, unit: bytes) -> str:
        row = decode(unit, "a row")
        reader, tally = self._reader, self._reader.tally
        start = len(_BOM) if self._first and row.startswith(_BOM) else 0
        cells = list(_cells(row, start))  # the whole row is well-formed before any of it is taken
        heads = self._heads
        if self._first:
            self._first, self._heads = False, [text for _, _, text in cells]
        if self._observer is not None:
            self._observer.text(row)
        reader.sift(text for _, _, text in cells)
        parts: list[str] = [row[:start]]
        end = start
        for column, (at, stop, text) in enumerate(cells):
            new = reader.whole(text, name=heads[column] if column < len(heads) else "")
            tally.scanned_bytes += size(row[at:stop])
            tally.scanned_fields += 1
            if reader.unplaced():
                reader.place(f"[{column}]")
            if reader.stopped():
                return ""
            parts += (row[end:at], row[at:stop] if new == text else _written(new, quoted=row[at] == '"'))
            end = stop
        return "".join([*parts, row[end:]])


class _Rows:
    """Bytes in, whole rows out, each with what ends it. A line end between quotes ends no row."""

    def __init__(self, max_row: int) -> None:
        self._max = max_row
        self._parts: list[bytes] = []
        self._size = 0
        self._quotes = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The rows that `data` completes."""
        for piece in _END.split(data):
            if not piece:
                continue
            self._size += len(piece)
            if self._size > self._max:
                raise BodyTooLarge(f"a row of more than {self._max} bytes")
            self._parts.append(piece)
            if piece not in (b"\r", b"\n"):
                self._quotes += piece.count(b'"')
            elif self._quotes % 2 == 0:
                yield self._take()

    def finish(self) -> Iterator[bytes]:
        """The last row, when nothing ended it."""
        if self._parts:
            yield self._take()

    def _take(self) -> bytes:
        row = b"".join(self._parts)
        self._parts, self._size, self._quotes = [], 0, 0
        return row


def _cells(row: str, at: int) -> Iterator[tuple[int, int, str]]:
    """Where each cell of a row begins and ends, quotes included, and its text. Raises MalformedBody."""
    more = row[at:] not in ("", "\r", "\n")
    while more:
        cell = _CELL.match(row, at)
        if cell is None:
            raise MalformedBody("a row that is not RFC 4180's")
        quoted, plain, end = cell.groups()
        yield at, cell.start(3), plain if quoted is None else quoted.replace('""', '"')
        at, more = cell.end(), end == ","


def _written(text: str, *, quoted: bool) -> str:
    return '"' + text.replace('"', '""') + '"' if quoted or _SPECIAL.search(text) else text
