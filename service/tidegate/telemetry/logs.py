"""The structured log: one JSON object a line."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any, BinaryIO, Final

import orjson
import structlog

_FLUSH: Final = 0.05  # seconds
LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def logger(level: str, stream: BinaryIO) -> Any:
    """A structured logger that writes one JSON object a line. Handed around, never global."""
    return structlog.wrap_logger(
        structlog.BytesLogger(stream),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(serializer=lambda event, **_: orjson.dumps(event, default=str)),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
    )


class Lines:
    """Lines of the same log that are written together, within 50 ms: a system call for each is dearer than the line."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._waiting: list[tuple[str, float, dict[str, Any]]] = []

    def add(self, event: str, at: float, **fields: Any) -> None:
        """One line, of level info, for what was `at` (Unix seconds). Needs a running event loop."""
        self._waiting.append((event, at, fields))
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_later(_FLUSH, self.flush)

    def flush(self) -> None:
        """Write what waits; called while there is any, and at the end of the process."""
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            self._stream.write(b"".join([_line(*one) for one in waiting]))
            self._stream.flush()


def _line(event: str, at: float, fields: dict[str, Any]) -> bytes:
    line = {"event": event, **fields, "level": "info", "timestamp": datetime.fromtimestamp(at, UTC)}
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z)
