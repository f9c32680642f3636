"""The structured log: one JSON object a line."""

from __future__ import annotations

from typing import Any, BinaryIO, Final

import orjson
import structlog

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
