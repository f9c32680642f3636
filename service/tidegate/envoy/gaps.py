"""Where something of ours may stand in a stream: between the events or lines that were let out, never inside of one."""

from __future__ import annotations

from dataclasses import dataclass

from tidegate.envoy.asking import in_whole
from tidegate.envoy.commands import Body, Command
from tidegate.filtering.formats.beats import BLANK_LINE, COMMENT, empty_line
from tidegate.usage.unasked import WholeEvents


@dataclass(slots=True)
class Gaps:
    """Of one response; as made, of one in which there is no such place that is known.

    `whole` lets out whole events or lines, and None what comes. `events` tells that what leaves are whole events,
    `lines` that they are whole lines which were read, and `blank` that their reader passes over empty ones.
    """

    whole: WholeEvents | None = None
    events: bool = False
    lines: bool = False
    blank: bool = False
    _last: bytes = b""

    @property
    def broken(self) -> bytes:
        """What ends an event or a line that has left in part; b"" where none has."""
        return self.whole.gap if self.whole is not None and self.whole.inside else b""

    def follow(self, commands: list[Command]) -> list[Command]:
        """What leaves now, cut to whole events where that is wanted."""
        if self.lines:
            out = (one.data for one in reversed(commands) if isinstance(one, Body) and one.data)
            self._last = next(out, self._last)
        return commands if self.whole is None else in_whole(self.whole, commands)

    def beat(self, *, untouched: bool, begun: bool) -> bytes:
        """What says nothing and may stand here; b"" where nothing may.

        `untouched` is a stream that leaves as it came. One that has not `begun` may still begin with a byte order mark.
        """
        if not self.events:
            return b"" if untouched else empty_line(self._last) or self._blank_line()
        return COMMENT if begun and not self.broken else b""

    def _blank_line(self) -> bytes:
        return BLANK_LINE if self.lines and self.blank and self._last[-1:] in (b"", b"\n") else b""
