"""A whole JSON document: collected, validated, and only its strings spliced. Everything else keeps its bytes."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from tidegate.errors import BodyTooLarge, MalformedBody
from tidegate.filtering.formats.coverage import WHOLE, Coverage, size
from tidegate.filtering.formats.dialect import LOGPROBS, label
from tidegate.filtering.formats.json_text import (
    BLANK,
    KEYS,
    NUMBERS,
    STRINGS,
    Path,
    parse,
    quote,
    unquote,
    walk,
)
from tidegate.filtering.formats.listening import Observer
from tidegate.filtering.formats.reader import Reader
from tidegate.filtering.formats.splices import Splices
from tidegate.filtering.formats.titles import name_of
from tidegate.filtering.ruleset import FilterPlan
from tidegate.filtering.selection import Selection
from tidegate.model import Finding

# Of a run of numbers those that can be as long as a card's number once they are written out, or hold letters in base16,
# and a quick look whether there are any: embeddings are long runs of fractions.
_LONG = re.compile(
    r"(?<![0-9.eE+-])-?[0-9]+(?:[0-9]{11}(?:\.0*+)?|(?:\.[0-9]+)?[eE]\+?[0-9]+|[0-9]{11,}(?:\.[0-9]+)?[eE]-[0-9]+)(?![0-9.eE+-])",
)
_QUICK = re.compile(r"(?:^|[^0-9.])(?:[0-9]{12}|(?<=[eE])\+?[0-9])")
_OWN = re.compile(r"[ \t\r\n]*+:[ \t\r\n]*+(-?[0-9]{6,}+)(?![0-9.eE+-])")  # the number of a key
_BATCH = 1024  # strings that are sifted together


class JsonBody:
    """One JSON response. Nothing leaves before `finish`."""

    streaming = False
    progress = WHOLE

    def __init__(self, plan: FilterPlan, *, key: bytes = b"", max_bytes: int, observer: Observer | None = None) -> None:
        self._reader = Reader("json", plan, key=key)
        self._max_bytes = max_bytes
        self._observer = observer
        self._body = bytearray()
        self._over = False
        self._places: dict[int, Path] = {}  # filled when something has to be placed

    @property
    def blocked(self) -> Finding | None:
        """The finding that withheld the document, if one did."""
        return self._reader.blocked

    def feed(self, data: bytes) -> bytes:
        """Collect; BodyTooLarge as soon as the cap is passed."""
        if self._over:
            return b""
        self._reader.tally.total_bytes += len(data)
        if len(self._body) + len(data) > self._max_bytes:
            self._end("too_large")
            raise BodyTooLarge(f"a JSON document of more than {self._max_bytes} bytes")
        self._body += data
        return b""

    def finish(self) -> bytes:
        """The document, rewritten; MalformedBody when it is none."""
        if self._over:
            return b""
        selection = self._reader.selection
        try:
            text = self._body.decode()
            document = parse(text)
            if selection is not None:
                deque(walk(text), maxlen=0)  # a key that stands twice has no place of its own
        except UnicodeDecodeError as fault:
            self._end("malformed")
            raise MalformedBody("a JSON document that is not UTF-8") from fault
        except MalformedBody:
            self._end("malformed")
            raise
        self._end("")
        if self._observer is not None:
            self._observer.document(document)
        del document  # its strings are about to be there a second time
        out = self._rewrite(text) if selection is None else self._rewrite_chosen(text, selection)
        return b"" if self._reader.stopped() else out.encode()

    def coverage(self) -> Coverage:
        """The receipt."""
        return self._reader.coverage()

    def abort(self, code: str, message: str) -> bytes:
        """Nothing of the body has left, so there is nothing to end."""
        self._end(code)
        return b""

    def _end(self, failure: str) -> None:
        self._over = True
        self._body = bytearray()
        self._reader.tally.failure = failure or self._reader.tally.failure

    def _rewrite(self, text: str) -> str:
        reader, tally = self._reader, self._reader.tally
        parts = STRINGS.split(text)  # what stands between strings, and what stands in one, in turn
        olds = parts[1::2]
        if "\\" in text:
            olds = [unquote(f'"{raw}"') if "\\" in raw else raw for raw in olds]
        if not LOGPROBS.isdisjoint(olds) and _repeats(parts, olds) and (less := self._without_logprobs(text)) != text:
            return self._rewrite(less)
        between = "".join(parts[::2])
        runs = NUMBERS.findall(between)
        unread = sum([run.count(",") + 1 for run in runs])
        looks = any(map(_QUICK.search, runs))
        changed: dict[int, str] = {}
        last, titles = "", set[str]()
        for first in range(0, len(olds), _BATCH):
            batch = olds[first : first + _BATCH]
            behind = parts[2 * first + 2 : 2 * (first + len(batch)) + 1 : 2]
            reader.sift(batch)
            suspects = {*batch} - reader.clean
            keys = {old for old, after in zip(batch, behind, strict=True) if ":" in after}
            titles = {last} & titles | {key for key in keys if reader.title(key)}
            asked = [old in suspects for old in batch]
            if titles:
                asked = [sure or name in titles for sure, name in zip(asked, (last, *batch), strict=False)]
            last = batch[-1]
            for number in [number for number, suspect in enumerate(asked, first) if looks or suspect]:
                name = olds[number - 1] if number and olds[number - 1] in titles else ""
                if looks or name:
                    unread -= self._numbers(text, parts, 2 * number, changed, name)
                if asked[number - first] and not reader.stopped():
                    old, own = olds[number], parts[2 * number].strip(BLANK) == ":"
                    if (new := reader.whole(old, name=name if own else "")) != old:
                        changed[2 * number + 1] = quote(new)[1:-1]
                    if reader.unplaced():
                        self._place(text, parts, 2 * number + 1)
                if reader.stopped():
                    return ""
        if looks or last in titles:
            unread -= self._numbers(text, parts, len(parts) - 1, changed, last if last in titles else "")
        tally.skip("number", unread)
        tally.scanned_bytes += sum(map(len if text.isascii() else size, parts[1::2])) + 2 * len(olds)
        tally.scanned_fields += len(olds) - between.count(":")
        for at, new in changed.items():
            parts[at] = new
        return '"'.join(parts)

    def _without_logprobs(self, text: str) -> str:
        """The document without what repeats its text token by token."""
        splices = Splices(text)
        skip_to = 0
        for mark in KEYS.finditer(text):
            if mark[2] is not None and mark.start() >= skip_to and unquote(mark[1]) in LOGPROBS:
                skip_to = splices.drop(mark.end())
                self._reader.tally.skip("dropped_logprobs", skip_to > 0)
        return splices.result()

    def _rewrite_chosen(self, text: str, selection: Selection) -> str:
        reader, tally = self._reader, self._reader.tally
        splices = Splices(text)
        skip_to = 0
        for leaf in walk(text):
            if leaf.start < skip_to:
                continue
            token, key = text[leaf.start : leaf.end], leaf.kind == "key"
            old = token if leaf.kind == "number" else unquote(token)
            why = selection.skips(leaf.path, key=key)
            if why:
                tally.unchosen(why, key=key)
            elif leaf.kind == "number":
                new, was_read = reader.number(token, name=name_of(leaf.path))
                tally.skip("number", not was_read)
                tally.scanned_bytes += len(token) * was_read
                tally.scanned_fields += was_read
                if new != token:
                    splices.put(leaf.start, leaf.end, new)
            else:
                tally.scanned_bytes += size(token)
                tally.scanned_fields += not key
                if (new := reader.whole(old, name="" if key else name_of(leaf.path))) != old:
                    splices.put(leaf.start, leaf.end, quote(new))
            if key and old in LOGPROBS and not selection.names(leaf.path):
                skip_to = splices.drop(leaf.next)
                tally.skip("dropped_logprobs", skip_to > 0)
            if reader.unplaced():
                reader.place(label(leaf.path), leaf.path)
            if reader.stopped():
                return ""
        return splices.result()

    def _numbers(self, text: str, parts: Sequence[str], at: int, changed: dict[int, str], name: str) -> int:
        """Read the numbers between two strings that can be as long as a card's; how many were read.

        Of the first string, `name` is what it tells of the number behind it.
        """
        reader, tally = self._reader, self._reader.tally
        piece, splices, read = parts[at], Splices(parts[at]), 0
        own = _OWN.match(piece) if name else None
        spans = dict.fromkeys([*([own.span(1)] if own else []), *[mark.span() for mark in _LONG.finditer(piece)]])
        for start, end in spans:
            old = piece[start:end]
            new, was_read = reader.number(old, name=name if own is not None and start == own.start(1) else "")
            if not was_read:
                continue
            read += 1
            tally.scanned_fields += 1
            tally.scanned_bytes += len(old)
            if new != old:
                splices.put(start, end, new)
            if reader.unplaced():
                self._place(text, parts, at, start)
            if reader.stopped():
                break
        if splices.places:
            changed[at] = splices.result()
        return read

    def _place(self, text: str, parts: Sequence[str], at: int, within: int = 0) -> None:
        """Say where the token stands of the part `at`, or of what is `within` it."""
        if not self._places:
            with suppress(MalformedBody):  # a key that stands twice: the path would be ambiguous
                for leaf in walk(text):
                    self._places[leaf.start] = leaf.path
        start = sum(map(len, parts[:at])) + at - at % 2 + within
        path = self._places.get(start, ())
        self._reader.place(label(path), path)


def _repeats(parts: Sequence[str], olds: Sequence[str]) -> bool:
    """Whether a value goes that repeats what was said: most models tell of none, and say null."""
    behind = [parts[2 * number + 2].lstrip(f":{BLANK}") for number, old in enumerate(olds) if old in LOGPROBS]
    return not {"[", "{"}.isdisjoint([piece[:1] for piece in behind])
