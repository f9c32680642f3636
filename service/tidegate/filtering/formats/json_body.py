"""A whole JSON document: collected, validated, and only its strings spliced. Everything else keeps its bytes."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice

from tidegate.errors import BodyTooLarge, MalformedBody
from tidegate.filtering.formats.coverage import WHOLE, Coverage, size
from tidegate.filtering.formats.dialect import LOGPROBS, label
from tidegate.filtering.formats.json_text import FLAT, Path, parse, quote, unquote, walk
from tidegate.filtering.formats.listening import Observer
from tidegate.filtering.formats.reader import Reader
from tidegate.filtering.formats.splices import Splices
from tidegate.filtering.ruleset import FilterPlan
from tidegate.filtering.selection import Selection
from tidegate.model import Finding

# Of a run of numbers those that can be as long as a card's number once they are written out, and a quick look whether
# there are any: embeddings are long runs of fractions.
_LONG = re.compile(
    r"(?<![0-9.eE+-])-?[0-9]+(?:[0-9]{11}(?:\.0*+)?|(?:\.[0-9]+)?[eE]\+?[0-9]+|[0-9]{11,}(?:\.[0-9]+)?[eE]-[0-9]+)(?![0-9.eE+-])",
)
_QUICK = re.compile(r"[^0-9.](?:[0-9]{12}|(?<=[eE])\+?[0-9])")
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
        measure = len if text.isascii() else size
        splices = Splices(text)
        scanned = fields = skip_to = 0
        marks = FLAT.finditer(text)
        while batch := list(islice(marks, _BATCH)):
            tokens = [mark[1] for mark in batch]
            olds = [token and (unquote(token) if "\\" in token else token[1:-1]) for token in tokens]
            reader.sift(old for old in olds if old is not None)
            clean = reader.clean
            pairs = zip(batch, olds, strict=True)
            if skip_to <= batch[0].start() and (LOGPROBS.isdisjoint(olds) or not _drops(text, batch, olds)):
                # Every string is read, so those in which nothing was found need not be looked at one by one.
                strings = [token for token in tokens if token is not None]
                scanned += sum(map(measure, strings))
                fields += len(strings) - len([mark for mark in batch if mark[2] is not None])
                for mark, old in pairs:
                    if old in clean:
                        continue
                    if not self._change(text, mark, old, splices):
                        return ""
                continue
            for mark, old in pairs:
                start = mark.start()
                if start < skip_to:
                    continue
                if old not in clean and not self._change(text, mark, old, splices):
                    return ""
                token, colon, _ = mark.groups()
                if token is not None:
                    scanned += measure(token)
                    fields += colon is None
                if colon is not None and old in LOGPROBS:
                    skip_to = splices.drop(mark.end())
                    tally.skip("dropped_logprobs", skip_to > 0)
        tally.scanned_bytes += scanned
        tally.scanned_fields += fields
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
                new, was_read = reader.number(token)
                tally.skip("number", not was_read)
                tally.scanned_bytes += len(token) * was_read
                tally.scanned_fields += was_read
                if new != token:
                    splices.put(leaf.start, leaf.end, new)
            else:
                tally.scanned_bytes += size(token)
                tally.scanned_fields += not key
                if (new := reader.whole(old)) != old:
                    splices.put(leaf.start, leaf.end, quote(new))
            if key and old in LOGPROBS and not selection.names(leaf.path):
                skip_to = splices.drop(leaf.next)
                tally.skip("dropped_logprobs", skip_to > 0)
            if reader.unplaced():
                reader.place(label(leaf.path), leaf.path)
            if reader.stopped():
                return ""
        return splices.result()

    def _change(self, text: str, mark: re.Match[str], old: str | None, splices: Splices) -> bool:
        """Read one token, a string or a run of numbers. Returns False when it ends the document."""
        reader, start = self._reader, mark.start()
        if old is None:
            self._numbers(text, start, mark.end(), splices)
        else:
            if (new := reader.whole(old)) != old:
                splices.put(start, mark.end(1), quote(new))
            if reader.unplaced():
                self._place(text, start)
        return not reader.stopped()

    def _numbers(self, text: str, start: int, end: int, splices: Splices) -> None:
        reader, tally = self._reader, self._reader.tally
        skipped = text.count(",", start, end) + 1
        look = reader.numeric and (start == 0 or _QUICK.search(text, start - 1, end))
        for mark in _LONG.finditer(text, start, end) if look else ():
            new, was_read = reader.number(mark[0])
            if not was_read:
                continue
            skipped -= 1
            tally.scanned_fields += 1
            tally.scanned_bytes += len(mark[0])
            if new != mark[0]:
                splices.put(mark.start(), mark.end(), new)
            if reader.unplaced():
                self._place(text, mark.start())
            if reader.stopped():
                break
        tally.skip("number", skipped)

    def _place(self, text: str, start: int) -> None:
        if not self._places:
            with suppress(MalformedBody):  # a key that stands twice: the path would be ambiguous
                for leaf in walk(text):
                    self._places[leaf.start] = leaf.path
        path = self._places.get(start, ())
        self._reader.place(label(path), path)


def _drops(text: str, batch: Sequence[re.Match[str]], olds: Sequence[str | None]) -> bool:
    """Whether a value goes that repeats what was said: most models tell of none, and say null."""
    return any(old in LOGPROBS and text[mark.end()] in "[{" for mark, old in zip(batch, olds, strict=True))
