"""The payloads of an event stream: which of their strings are pieces of a text, and what leaves in their place."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from tidegate.errors import MalformedBody
from tidegate.filtering.formats.channels import Channels, made
from tidegate.filtering.formats.coverage import Tally, size
from tidegate.filtering.formats.dialect import LOGPROBS, Channel, Reading, is_json, label, read
from tidegate.filtering.formats.json_text import INSIDE, Leaf, Path, close_of, parse, quote, unquote, walk
from tidegate.filtering.formats.reader import Reader, Run
from tidegate.filtering.formats.sse_frames import join

_BLANK = " \t\r\n"
_DONE = "[DONE]"
_MAX_PATTERNS = 4


@dataclass(slots=True)
class _Counts:
    """What one event adds to the receipt, but for its pieces' bytes."""

    scanned: int = 0
    fields: int = 0
    numbers: int = 0
    dropped: int = 0
    loose: int = 0

    def number(self, token: str, was_read: bool) -> None:
        if was_read:
            self.fields += 1
            self.scanned += len(token)
        else:
            self.numbers += 1

    def string(self, leaf: Leaf, token: str, reading: Reading) -> None:
        self.scanned += size(token)
        if leaf.kind == "string":
            self.fields += 1
            self.loose += not reading.is_complete(leaf.path)

    def count(self, tally: Tally) -> None:
        tally.scanned_bytes += self.scanned
        tally.scanned_fields += self.fields
        if self.numbers:
            tally.skip("number", self.numbers)
        if self.dropped:
            tally.skip("dropped_logprobs", self.dropped)
        if self.loose:
            tally.notes["not_incremental"] += self.loose


@dataclass(frozen=True, slots=True)
class _Pattern:
    """An event of which only one piece was new. Events that repeat the rest of it need not be analysed again."""

    before: str
    after: str
    channel: Channel
    path: Path
    counts: _Counts

    def piece(self, payload: str) -> str | None:
        """The piece as a string token, when `payload` is this event with another piece."""
        if not (payload.startswith(self.before) and payload.endswith(self.after)):
            return None
        end = len(payload) - len(self.after)
        if end < len(self.before) or INSIDE.fullmatch(payload, len(self.before), end) is None:
            return None
        return payload[len(self.before) - 1 : end + 1]


class _Splices:
    """New tokens for old ones, left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._parts: list[str] = []
        self._last = 0
        self._changed: list[int] = []

    def put(self, leaf: Leaf, old: str, new: str) -> None:
        """`new` stands for the leaf's token."""
        if new != old:
            self._put(leaf.start, leaf.end, new)

    def drop_value(self, key: Leaf) -> int:
        """null stands for a key's value when that is an array or object and not empty; where the value ends, else 0."""
        start = self._text.index(":", key.end) + 1
        start += len(self._text[start:]) - len(self._text[start:].lstrip(_BLANK))
        if self._text[start] not in "[{":
            return 0
        end = close_of(self._text, start)
        if end - start <= 2:
            return 0
        self._put(start, end, "null")
        return end

    def only(self, leaf: Leaf) -> bool:
        """Whether nothing but this leaf was replaced."""
        return self._changed in ([], [leaf.start])

    def result(self) -> str:
        """The text with its new tokens."""
        return "".join([*self._parts, self._text[self._last :]])

    def _put(self, start: int, end: int, new: str) -> None:
        self._parts += (self._text[self._last : start], new)
        self._last = end
        self._changed.append(start)


class Events:
    """Rewrites events. Each call returns the frames that leave for one: made ones first, then the event itself."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._channels = Channels()
        self._patterns: deque[_Pattern] = deque(maxlen=_MAX_PATTERNS)

    @property
    def held(self) -> int:
        """About how much is held for the channels that are open."""
        return self._channels.held

    def event(self, name: str, payload: str | None, others: list[str]) -> str:
        """One event with its name, its data and its other lines."""
        lines = [line for line in map(self._line, others) if line]
        if self._reader.stopped():
            return ""
        if payload is None:
            return join(lines, None)
        for pattern in self._patterns:
            token = pattern.piece(payload)
            if token is not None:
                return self._again(pattern, token, lines)
        visible = payload.strip(_BLANK)
        if visible == _DONE:
            frames = self.flush()
            return frames if self._reader.stopped() else frames + join(lines, payload)
        if visible[:1] in ("{", "["):
            return self._json(payload, lines)
        if visible[:1] == '"':
            try:
                return self._json(payload, lines)
            except MalformedBody:
                pass
        return self._text(name, payload, lines)

    def flush(self, ends: Callable[[Channel], bool] = lambda channel: True) -> str:
        """What is held for the channels that end, as events made for it."""
        frames: list[str] = []
        for channel in self._channels.ending(ends):
            frames.append(self._channels.flush(channel))
            if self._reader.stopped():
                break
        return "".join(frames)

    def _line(self, line: str) -> str:
        tally = self._reader.tally
        tally.scanned_bytes += size(line)
        tally.scanned_fields += 1
        return self._reader.whole(line)

    def _text(self, name: str, payload: str, lines: list[str]) -> str:
        tally = self._reader.tally
        tally.scanned_bytes += size(payload)
        tally.scanned_fields += 1
        channel: Channel = ("data", name)
        out = self._channels.open(channel, lambda: self._reader.plain("data")).run.feed(payload)
        heading = _heading(lines)
        self._channels.note(channel, heading, "", None)
        if self._reader.stopped():
            return join(heading, out) if out else ""
        return join(lines, out)

    def _again(self, pattern: _Pattern, token: str, lines: list[str]) -> str:
        pattern.counts.count(self._reader.tally)
        self._reader.tally.scanned_bytes += size(token)
        old = unquote(token)
        new = self._run(pattern.channel, pattern.path).feed(old)
        payload = pattern.before[:-1] + (token if new == old else quote(new)) + pattern.after[1:]
        heading = _heading(lines)
        self._channels.note(pattern.channel, heading, payload, pattern.path)
        if self._reader.stopped():
            return made(heading, payload, pattern.path, new) if new else ""
        return join(lines, payload)

    def _run(self, channel: Channel, path: Path) -> Run:
        make = self._reader.fragment if is_json(channel) else self._reader.run
        return self._channels.open(channel, lambda: make(label(path))).run

    def _piece(self, channel: Channel, path: Path, text: str, reading: Reading) -> str:
        new = self._run(channel, path).feed(text)
        return new + self._channels.close(channel) if reading.ends_channel(channel) else new

    def _json(self, payload: str, lines: list[str]) -> str:
        reader = self._reader
        reading = read(parse(payload))
        counts = _Counts()
        splices = _Splices(payload)
        pieces: list[tuple[Channel, Leaf]] = []
        stopped: tuple[Path, str] | None = None
        skip_to = 0
        for leaf in list(walk(payload)):  # the whole event is walked, hence valid, before any of it is taken
            if leaf.start < skip_to:
                continue
            token = payload[leaf.start : leaf.end]
            if leaf.kind == "number":
                new, was_read = reader.number(token)
                counts.number(token, was_read)
                splices.put(leaf, token, new)
                continue
            old = unquote(token)
            channel = reading.pieces.get(leaf.path) if leaf.kind == "string" else None
            if channel is not None:
                running = not reader.stopped()
                new = self._piece(channel, leaf.path, old, reading)
                if running and reader.stopped():
                    stopped = (leaf.path, new)
                pieces.append((channel, leaf))
                counts.fields += 1
                reader.tally.scanned_bytes += size(token)
            else:
                new = reader.whole(old)
                counts.string(leaf, token, reading)
            splices.put(leaf, token, token if new == old else quote(new))
            if leaf.kind == "key" and old in LOGPROBS:
                skip_to = splices.drop_value(leaf)
                counts.dropped += skip_to > 0
        counts.count(reader.tally)
        out = splices.result()
        heading = _heading(lines)
        for channel, leaf in pieces:
            self._channels.note(channel, heading, out, leaf.path)
        if reader.stopped():
            return made(heading, out, *stopped) if stopped is not None and stopped[1] else ""
        frames = self.flush(reading.ends_channel) if reading.ends else ""
        if reader.stopped():
            return frames
        if len(pieces) == 1 and not reading.ends and splices.only(pieces[0][1]):
            channel, leaf = pieces[0]
            before, after = payload[: leaf.start + 1], payload[leaf.end - 1 :]
            self._patterns.appendleft(_Pattern(before, after, channel, leaf.path, counts))
        return frames + join(lines, out)


def _heading(lines: list[str]) -> list[str]:
    """Of an event's other lines those that an event made from it repeats."""
    return [line for line in lines if line.startswith("event:")]
