"""The payloads of an event stream: which of their strings are pieces of a text, and what leaves in their place."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from tidegate.errors import MalformedBody
from tidegate.filtering.formats.channels import Channels, Join
from tidegate.filtering.formats.coverage import size
from tidegate.filtering.formats.dialect import LOGPROBS, Channel, Reading, is_json, label, read
from tidegate.filtering.formats.json_text import BLANK, Leaf, Path, dump, parse, quote, unquote, walk
from tidegate.filtering.formats.listening import Observer
from tidegate.filtering.formats.open_channels import ALL
from tidegate.filtering.formats.reader import Reader, Run
from tidegate.filtering.formats.splices import Splices
from tidegate.filtering.formats.sse_error import DONE, Speech
from tidegate.filtering.formats.sse_frames import join
from tidegate.filtering.formats.sse_pattern import Counts, Pattern, Varying, pattern_of
from tidegate.filtering.formats.titles import name_of
from tidegate.filtering.formats.tool_names import ToolNames

_MAX_PATTERNS = 4


class Events:
    """Rewrites events. Each call returns the frames that leave for one: made ones first, then the event itself.

    `speech` knows the stream's dialect.
    """

    def __init__(self, reader: Reader, observer: Observer | None = None, join: Join = join) -> None:
        self.speech = Speech()
        self._reader = reader
        self._observer = observer
        self._join = join
        self._channels = Channels(join)
        self._names = ToolNames(reader, join)
        self._varying = Varying()
        self._patterns: deque[Pattern] = deque(maxlen=_MAX_PATTERNS)

    @property
    def held(self) -> int:
        """About how much is held for the channels that are open."""
        return self._channels.held + self._names.held

    def event(self, name: str, payload: str | None, others: list[str]) -> str:
        """One event with its name, its data and its other lines."""
        lines = [line for line in map(self._line, others) if line]
        if self._reader.unplaced():
            self._reader.place("line")
        if self._reader.stopped():
            return ""
        if payload is None:
            return self._join(lines, None)
        self.speech.event()
        return self._names.through(self._data(name, payload, lines))

    def _data(self, name: str, payload: str, lines: list[str]) -> str:
        known = self._known(payload, lines)
        if known is not None:
            return known
        visible = payload.strip(BLANK)
        if visible == DONE:
            frames = self._flush()
            return frames if self._reader.stopped() else frames + self._join(lines, payload)
        if visible[:1] in ("{", "["):
            return self._json(payload, lines)
        if visible[:1] == '"':
            try:
                return self._json(payload, lines)
            except MalformedBody:
                pass
        return self._text(name, payload, lines)

    def document(self, payload: str) -> str:
        """A document that is no event: a line of its own. Raises MalformedBody."""
        known = self._known(payload, [])
        return self._names.through(self._json(payload, []) if known is None else known)

    def flush(self) -> str:
        """The stream is over: what is held, as events made for it."""
        return self._names.through(self._flush())

    def _flush(self, ends: Iterable[Channel] = ALL) -> str:
        """What is held for the channels that begin like any of `ends`."""
        frames: list[str] = []
        self._names.close(ends)
        if self._reader.stopped():
            return ""
        for channel in self._channels.ending(ends):
            frames.append(self._channels.flush(channel))
            if self._reader.stopped():
                break
        return "".join(frames)

    def _known(self, payload: str, lines: list[str]) -> str | None:
        """The short way, for an event like an earlier one."""
        for pattern in () if self._names.open else self._patterns:
            tokens = pattern.fill(payload)
            if tokens is not None:
                return self._again(pattern, tokens, lines)
        return None

    def _line(self, line: str) -> str:
        tally = self._reader.tally
        tally.scanned_bytes += size(line)
        tally.scanned_fields += 1
        return self._reader.whole(line)

    def _text(self, name: str, payload: str, lines: list[str]) -> str:
        tally = self._reader.tally
        tally.scanned_bytes += size(payload)
        tally.scanned_fields += 1
        if self._observer is not None:
            self._observer.text(payload)
        channel: Channel = ("data", name)
        out = self._channels.open(channel, lambda: self._reader.plain("data")).run.feed(payload)
        heading = _heading(lines)
        self._channels.note(channel, heading, "", None)
        if self._reader.stopped():
            return self._join(heading, out) if out else ""
        return self._join(lines, out)

    def _again(self, pattern: Pattern, tokens: list[str], lines: list[str]) -> str:
        reader, counts = self._reader, Counts()
        parts = [pattern.literals[0]]
        clean = ""
        for hole, token, literal in zip(pattern.holes, tokens, pattern.literals[1:], strict=True):
            new = token
            if hole.kind == "number":
                new, was_read = reader.number(token, name=name_of(hole.path))
                counts.number(token, was_read)
            else:
                old = unquote(token)
                counts.string("string", token)
                if hole is pattern.piece:
                    if self._observer is not None:
                        self._observer.text(old)
                    running = not reader.stopped()
                    text = self._run(pattern.channel, hole.path).feed(old)
                    clean = text if running and reader.stopped() else ""
                else:
                    text = reader.whole(old, name=name_of(hole.path))
                if text != old:
                    new = quote(text)
            if reader.unplaced():
                reader.place(label(hole.path), hole.path)
            parts += (new, literal)
        counts.add_to(reader.tally)
        pattern.counts.add_to(reader.tally)
        payload, heading, path = "".join(parts), _heading(lines), pattern.piece.path
        self._channels.note(pattern.channel, heading, payload, path)
        if reader.stopped():
            return self._channels.made(heading, payload, path, clean) if clean else ""
        return self._join(lines, payload)

    def _run(self, channel: Channel, path: Path) -> Run:
        def make() -> Run:
            reader, where = self._reader, label(path)
            return reader.fragment(where) if is_json(channel) else reader.run(where, name=name_of(path))

        return self._channels.open(channel, make).run

    def _piece(self, channel: Channel, path: Path, text: str, reading: Reading, ahead: list[str]) -> str:
        run = self._run(channel, path)
        held = run.held > 0
        new = run.feed(text)
        if not reading.ends_channel(channel):
            return new
        if held and reading.bare_end and not self._reader.stopped():
            ahead.append(self._channels.apart(channel, new))
            return ""
        return new + self._channels.close(channel)

    def _go_on(self, leaves: list[Leaf], reading: Reading) -> None:
        """A name is over with the next text, or the next name, of its choice."""
        pieces = reading.pieces
        spoken = [
            pieces[leaf.path]
            for leaf in leaves
            if leaf.kind == "string" and leaf.path in pieces and leaf.end - leaf.start > len('""')
        ]
        names = [name.channel for name in reading.names.values()]
        self._names.go_on([channel[:2] for channel in (*spoken, *names)], names)

    def _json(self, payload: str, lines: list[str]) -> str:
        reader = self._reader
        document = parse(payload)
        reading = read(document)
        self.speech.document(document)
        leaves = list(walk(payload))  # the whole event is walked, hence valid, before any of it is taken
        if self._observer is not None:
            self._observer.document(document)
        if self._names.open:
            self._go_on(leaves, reading)
            if reader.stopped():
                return ""
        reader.sift(unquote(payload[leaf.start : leaf.end]) for leaf in leaves if leaf.kind != "number")
        holes = self._varying.holes(payload, leaves)
        fixed, varying = Counts(), Counts()
        splices = Splices(payload)
        pieces: list[tuple[Channel, Leaf]] = []
        ahead: list[str] = []
        stopped: tuple[Path, str] | None = None
        selection = reader.selection
        skip_to = 0
        for leaf in leaves:
            if leaf.start < skip_to:
                continue
            token = payload[leaf.start : leaf.end]
            if selection is not None and (why := selection.skips(leaf.path, key=leaf.kind == "key")):
                reader.tally.unchosen(why, key=leaf.kind == "key")
                if leaf.kind == "key" and unquote(token) in LOGPROBS and not selection.names(leaf.path):
                    skip_to = splices.drop(leaf.next)
                    fixed.dropped += skip_to > 0
                continue
            counts = varying if leaf in holes else fixed
            if leaf.kind == "number":
                new, was_read = reader.number(token, name=name_of(leaf.path))
                counts.number(token, was_read)
                if new != token:
                    splices.put(leaf.start, leaf.end, new)
                if reader.unplaced():
                    reader.place(label(leaf.path), leaf.path)
                continue
            old = unquote(token)
            channel = reading.pieces.get(leaf.path) if leaf.kind == "string" else None
            named = reading.names.get(leaf.path) if leaf.kind == "string" else None
            if named is not None:
                counts.string(leaf.kind, token, complete=not self._names.is_over(named.channel))
                new = self._names.take(named, old, ends=named.last or reading.ends_channel(named.channel))
            elif channel is not None:
                running = not reader.stopped()
                new = self._piece(channel, leaf.path, old, reading, ahead)
                if running and reader.stopped():
                    stopped = (leaf.path, new)
                pieces.append((channel, leaf))
                varying.string(leaf.kind, token)
            else:
                new = reader.whole(old, name=name_of(leaf.path) if leaf.kind == "string" else "")
                counts.string(leaf.kind, token, complete=reading.is_complete(leaf.path))
            if new != old:
                splices.put(leaf.start, leaf.end, quote(new))
            if leaf.kind == "key" and old in LOGPROBS:
                skip_to = splices.drop(leaf.next)
                fixed.dropped += skip_to > 0
            if reader.unplaced():
                reader.place(label(leaf.path), leaf.path)
        fixed.add_to(reader.tally)
        varying.add_to(reader.tally)
        out = splices.result()
        heading = _heading(lines)
        for channel, leaf in pieces:
            opening = reading.openings.get(leaf.path)
            if opening is None:
                self._channels.note(channel, heading, out, leaf.path)
            else:
                name = [f"event: {opening.delta['type']}"] if heading else []
                self._channels.note(channel, name, dump(opening.delta), opening.at)
        if reader.stopped():
            clean = self._channels.made(heading, out, *stopped) if stopped is not None and stopped[1] else ""
            return "".join([*ahead, clean])
        frames = "".join([*ahead, self._flush(reading.ends) if reading.ends else ""])
        if reader.stopped():
            return frames
        if self._names.begun:
            self._names.wait(frames, lines, out)
            return ""
        if len(pieces) == 1 and not (reading.ends or reading.openings or reading.names) and selection is None:
            pattern = pattern_of(payload, holes, pieces[0][1], pieces[0][0], fixed)
            if splices.places <= {hole.start for hole in pattern.holes}:
                self._patterns.appendleft(pattern)
        return frames + self._join(lines, out)


def _heading(lines: list[str]) -> list[str]:
    """Of an event's other lines those that an event made from it repeats."""
    return [line for line in lines if line.startswith("event:")]
