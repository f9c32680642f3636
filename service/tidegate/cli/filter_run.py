"""One input through the filter: which format it is, and its bytes as they come."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import chain
from typing import BinaryIO

import orjson

from tidegate.cli.filter_report import END, START, Report
from tidegate.errors import MalformedBody, TidegateError, UnsupportedBody
from tidegate.filtering.formats import format_of, open_body
from tidegate.filtering.ruleset import FilterPlan
from tidegate.filtering.structure.demand import ENTITY as STRUCTURE
from tidegate.filtering.structure.demand import Structure
from tidegate.filtering.structure.opening import structured
from tidegate.model import Reason

_TYPES = {
    "text": "text/plain",
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "sse": "text/event-stream",
    "csv": "text/csv",
}
KINDS = {kind: media for kind, media in _TYPES.items() if format_of(media) == kind}
"""What can be read, by the word for it."""

_SUFFIXES = {"json": "json", "ndjson": "ndjson", "jsonl": "ndjson", "sse": "sse", "csv": "csv", "txt": "text"}
_CHUNK = 1 << 16
_BLOCKED = str(Reason.CONTENT_BLOCKED), "The response was blocked by policy."
_UNSTRUCTURED = str(Reason.RESPONSE_STRUCTURE), "The response does not have the structure that is demanded of it."
_MAX_HELD = 1 << 28
_EVENTS = re.compile(rb"(?:\xef\xbb\xbf)?(?:(?::[^\n]*)?\r?\n)*+(?::[^\n]*\n|(?:event|id|retry):[^\n]*\n)*+data:")
_JSON = re.compile(rb'\s*+(?:\{\s*+(?:["}]|\Z)|\[\s*+(?:["{\[\]0-9-]|true|false|null|\Z))')
_HIGHLIGHT = {START: "\x1b[1;33m", END: "\x1b[0m"}


class Run:
    """Inputs by one plan. What is rewritten goes to `write`, or nowhere; `colored` highlights what was put in.

    `structure` is what an endpoint demands of its responses. What is judged is what leaves, so nothing is highlighted.
    """

    def __init__(
        self,
        plan: FilterPlan,
        kind: str,
        *,
        key: bytes,
        write: BinaryIO | None,
        structure: Structure | None = None,
        colored: bool = False,
    ) -> None:
        self._plan = plan
        self._structure = structure
        self._kind = kind
        self._key = key
        self._sink = write
        self._colored = colored and write is not None and structure is None

    def over(self, name: str, stream: BinaryIO) -> Report:
        """The whole of one input. Raises `TidegateError`, naming the input, for what cannot be read."""
        try:
            return self._over(name, _chunks(stream))
        except TidegateError as error:
            raise type(error)(f"{name}: {error}") from None
        except OSError as error:
            if self._sink is not None and isinstance(error, BrokenPipeError):
                raise
            raise UnsupportedBody(f"{name}: cannot be read: {error.strerror}") from None

    def _over(self, name: str, chunks: Iterator[bytes]) -> Report:
        first = next(chunks, b"")
        kinds = [self._kind] if self._kind != "auto" else _guesses(name, first)
        if len(kinds) == 1:
            return self._take(name, kinds[0], chain([first], chunks), self._write)
        # A document cannot leave before its end has been seen, so nothing is lost by waiting for it.
        data = b"".join(chain([first], chunks))
        for kind in kinds[:-1]:
            out: list[bytes] = []
            try:
                report = self._take(name, kind, [data], out.append)
            except MalformedBody:
                continue
            self._write(b"".join(out))
            return report
        return self._take(name, kinds[-1], [data], self._write)

    def _take(self, name: str, kind: str, chunks: Iterable[bytes], write: Callable[[bytes], None]) -> Report:
        report = Report(name, marks=self._colored, lined=kind == "text")
        body = open_body(
            KINDS[kind], replace(self._plan, witness=report), key=self._key, max_bytes=_MAX_HELD, max_event=_MAX_HELD
        )
        if body is None:
            raise UnsupportedBody(f"no format reads {kind}")
        if self._structure is not None:
            body = structured(body, KINDS[kind], self._structure, max_bytes=_MAX_HELD)
            if body is None:
                raise UnsupportedBody(
                    f"{kind} has no structure, and the endpoint demands one: such a response is withheld"
                )
        for data in chunks:
            report.read(data)
            write(body.feed(data))
            if body.blocked is not None:
                break
        if body.blocked is None:
            write(body.finish())
        if body.blocked is not None:
            broken = body.blocked.entity == STRUCTURE
            write(body.abort(*(_UNSTRUCTURED if broken else _BLOCKED)))
        report.end(body.coverage(), blocked=body.blocked is not None)
        return report

    def _write(self, data: bytes) -> None:
        if self._sink is None or not data:
            return
        if self._colored:
            for mark, code in _HIGHLIGHT.items():
                data = data.replace(mark.encode(), code.encode())
        self._sink.write(data)
        self._sink.flush()


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    read: Callable[[int], bytes] = getattr(stream, "read1", stream.read)
    while data := read(_CHUNK):
        yield data


def _guesses(name: str, head: bytes) -> list[str]:
    """What an input may be, by its name and how it begins; the first that reads it without a fault is it."""
    named = _SUFFIXES.get(name.rpartition(".")[2].lower())
    if named in KINDS:
        return [named]
    if _EVENTS.match(head):
        return ["sse"]
    if not _JSON.match(head):
        return ["text"]
    line, _, rest = head.partition(b"\n")
    guesses = ["ndjson", "json", "text"] if rest.strip() and _is_document(line) else ["json", "ndjson", "text"]
    return [kind for kind in guesses if kind in KINDS]


def _is_document(line: bytes) -> bool:
    try:
        orjson.loads(line)
    except ValueError:
        return False
    return True
