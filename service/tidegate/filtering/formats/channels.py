"""The texts of an event stream that come in pieces: one run each, and how held text leaves when no event carries it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from tidegate.filtering.formats.dialect import Channel, read
from tidegate.filtering.formats.json_text import Path, dump, parse
from tidegate.filtering.formats.open_channels import OpenChannels
from tidegate.filtering.formats.reader import Run

Join = Callable[[list[str], str | None], str]
"""How an event is written: from its other lines and its payload."""

_OVERHEAD: Final = 1024  # what an open channel costs besides its text, roughly
_KEPT: Final = frozenset({"index", "type"})
_ROLE: Final = ("message", "role")  # a message is none without it, other than a delta


@dataclass(slots=True)
class Text:
    """One open channel: its run, and the last event that carried it, as that event left.

    `path` is where its text stands in the payload; None when the payload is the text.
    """

    run: Run
    others: list[str]
    payload: str
    path: Path | None
    cost: int = 0


class Channels:
    """The open channels of a stream, in the order in which they opened. `join` writes the events made for them."""

    def __init__(self, join: Join) -> None:
        self._join = join
        self._texts: dict[Channel, Text] = {}
        self._open = OpenChannels()
        self.held = 0

    def made(self, others: list[str], payload: str, path: Path | None, text: str) -> str:
        """An event that carries `text` and nothing else: `payload` reduced to what names the channel."""
        if path is None:
            return self._join(others, text)
        document = parse(payload)
        for other in read(document).pieces:
            if len(other) == 1 and other != path:
                document[other[0]] = ""  # it has left already
        return self._join(others, dump(_reduced(document, path, text)))

    def open(self, channel: Channel, make: Callable[[], Run]) -> Text:
        """The channel's text, new when it is not open."""
        text = self._texts.get(channel)
        if text is None:
            text = self._texts[channel] = Text(make(), [], "", None)
            self._open.add(channel)
        return text

    def note(self, channel: Channel, others: list[str], payload: str, path: Path | None) -> None:
        """Remember the event that carried a channel, and what is held for it."""
        text = self._texts.get(channel)
        if text is None:
            return
        text.others, text.payload, text.path = others, payload, path
        cost = text.run.held + len(payload) + _OVERHEAD
        self.held += cost - text.cost
        text.cost = cost

    def close(self, channel: Channel) -> str:
        """The rest of a channel's text; the channel is gone."""
        text = self._texts.pop(channel)
        self._open.discard(channel)
        self.held -= text.cost
        return text.run.finish()

    def ending(self, ends: Iterable[Channel]) -> list[Channel]:
        """The open channels that begin like any of `ends`."""
        return self._open.under(ends)

    def flush(self, channel: Channel) -> str:
        """Close a channel; an event for its rest, or "" when nothing was held."""
        return self.apart(channel, "")

    def apart(self, channel: Channel, before: str) -> str:
        """Close a channel; an event for `before` and its rest, or "" when both are empty."""
        text = self._texts[channel]
        rest = before + self.close(channel)
        return self.made(text.others, text.payload, text.path, rest) if rest else ""


def _reduced(node: Any, path: Path, text: str, *, holder: str | int | None = None) -> Any:
    """`node` with `text` at `path` and, beside it, only what says whose text it is."""
    if not path:
        return text
    step, rest = path[0], path[1:]
    if isinstance(node, list):
        return [_reduced(node[step], rest, text, holder=step)] if isinstance(step, int) else []
    kept: dict[str, Any] = {}
    for name, value in node.items():
        if name == step:
            kept[name] = _reduced(value, rest, text, holder=step)
        elif name in _KEPT or (holder is None and not isinstance(value, dict | list)) or (holder, name) == _ROLE:
            kept[name] = value
        elif name == "finish_reason":
            kept[name] = None
    return kept
