"""Names of tools that come in pieces: clients of OpenAI's chat append each to what they have, as they do with text.

Unlike text a name must leave whole, in the event that opens the call: clients take it from there. So that event, and
what comes behind it, waits until the name is over: until its choice goes on with something else, most often with the
next event.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from tidegate.filtering.formats.channels import Join
from tidegate.filtering.formats.dialect import Channel, label
from tidegate.filtering.formats.dialect_names import NamePiece
from tidegate.filtering.formats.json_text import Path, quote, walk
from tidegate.filtering.formats.open_channels import OpenChannels
from tidegate.filtering.formats.reader import Reader, Run
from tidegate.filtering.formats.splices import Splices

_OVERHEAD: Final = 256  # what a name that is over costs, roughly


@dataclass(slots=True)
class _Name:
    run: Run
    first: str
    text: str = ""
    over: bool = False


@dataclass(frozen=True, slots=True)
class _Opening:
    """An event that waits, and where in it names stand."""

    others: list[str]
    payload: str
    names: dict[Path, _Name]


class ToolNames:
    """The names that are open in a stream, and the frames that wait for them. `join` writes an event."""

    def __init__(self, reader: Reader, join: Join) -> None:
        self._reader = reader
        self._join = join
        self._open: dict[Channel, _Name] = {}
        self._channels = OpenChannels()
        self._over: set[Channel] = set()
        self._begun: dict[Path, _Name] = {}  # in the event that is read
        self._queue: list[str | _Opening] = []
        self._size = 0

    @property
    def open(self) -> bool:
        """Whether a name may go on, so that nothing leaves."""
        return bool(self._open)

    @property
    def begun(self) -> bool:
        """Whether the event that is read opens a name."""
        return bool(self._begun)

    @property
    def held(self) -> int:
        """About how much is held."""
        return self._size + _OVERHEAD * len(self._over)

    def is_over(self, channel: Channel) -> bool:
        """Whether a name has left, so that what comes now is read by itself."""
        return channel in self._over

    def take(self, piece: NamePiece, text: str, *, ends: bool) -> str:
        """The next piece of a name, which may end with its event; what stands for it until the name is over."""
        channel, reader = piece.channel, self._reader
        name = self._open.get(channel)
        if name is None and (ends or channel in self._over):
            self._over.add(channel)
            return reader.whole(text)
        if name is None:
            run = reader.run(label(piece.path))
            self._open[channel] = self._begun[piece.path] = _Name(run, first=text, text=run.feed(text))
            self._channels.add(channel)
            return text
        name.text += name.run.feed(text)
        self._size += len(text)
        if ends:
            self._close(channel)
        return ""

    def go_on(self, choices: Iterable[Channel], names: Container[Channel]) -> None:
        """`choices` go on, with more of these `names`: their others are over."""
        for channel in self._channels.under(choices):
            if channel not in names:
                self._close(channel)

    def close(self, ends: Iterable[Channel]) -> None:
        """The names that begin like any of `ends` are over."""
        for channel in self._channels.under(ends):
            self._close(channel)

    def _close(self, channel: Channel) -> None:
        name = self._open.pop(channel)
        self._channels.discard(channel)
        name.text += name.run.finish()
        name.over = not self._reader.stopped()
        self._over.add(channel)

    def wait(self, before: str, others: list[str], payload: str) -> None:
        """Keep the event that was read, since it opens names, and what leaves before it."""
        self._keep(before)
        self._size += len(payload)
        self._queue.append(_Opening(others, payload, self._begun))
        self._begun = {}

    def through(self, frames: str) -> str:
        """What may leave of what waits and of `frames`, which follow it. A name that blocks never leaves."""
        if not self._queue:
            return frames
        self._keep(frames)
        if self._open and not self._reader.stopped():
            return ""
        queue, self._queue, self._size = self._queue, [], 0
        return "".join(self._written(queue))

    def _keep(self, frames: str) -> None:
        if frames:
            self._queue.append(frames)
            self._size += len(frames)

    def _written(self, queue: Iterable[str | _Opening]) -> Iterator[str]:
        for frame in queue:
            if isinstance(frame, str):
                yield frame
            elif all(name.over for name in frame.names.values()):
                yield self._join(frame.others, _filled(frame))


def _filled(frame: _Opening) -> str:
    splices = Splices(frame.payload)
    for leaf in walk(frame.payload):
        name = frame.names.get(leaf.path) if leaf.kind == "string" else None
        if name is not None and name.text != name.first:
            splices.put(leaf.start, leaf.end, quote(name.text))
    return splices.result()
