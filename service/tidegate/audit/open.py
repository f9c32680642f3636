"""From a place to the sink there."""

from __future__ import annotations

from tidegate.audit.files import FileSink
from tidegate.audit.sink import FilePlace, Sink, StreamPlace
from tidegate.audit.stream import StreamSink
from tidegate.clock import Clock


def open_sink(place: FilePlace | StreamPlace, writer: str, *, clock: Clock) -> Sink:
    """The sink of one writer. Touches nothing yet."""
    if isinstance(place, FilePlace):
        return FileSink(place, writer, clock=clock)
    return StreamSink(place, writer)
