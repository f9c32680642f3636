"""Where records are kept, told by a URL."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeVar
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from tidegate.admission.open import check_url
from tidegate.audit.chain import Head, Sealed
from tidegate.policy.durations import parse_duration, parse_size

_REDIS = ("redis", "rediss", "unix", "redis+cluster", "rediss+cluster")
_Value = TypeVar("_Value")
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+")


class Sink(Protocol):
    """Keeps the chain of one writer. What goes wrong is `AuditUnavailable`, and then nothing was kept."""

    async def open(self) -> tuple[Head, int]:
        """Where the writer's chain ends, and how many bytes follow that are no record: a crash tore them."""
        ...

    async def append(self, records: Sequence[Sealed]) -> None:
        """Keep records, all or none. After a failure the same records come again, and are kept once.

        `AuditSetBack` when records that were kept are no longer there: others are to follow on what is left.
        """
        ...

    def full(self, now: float) -> bool:
        """Whether a file should end here, at `now` (Unix seconds), and another begin."""
        ...

    async def close(self) -> None:
        """Release what is held."""
        ...


@dataclass(frozen=True, slots=True)
class FilePlace:
    """A directory. A file is `max_size` bytes or `max_age` seconds long, about; `sync` says when it is on the disk."""

    directory: Path
    max_size: int = 64 * 1024 * 1024
    max_age: float = 86_400.0
    sync: Literal["batch", "never"] = "batch"


@dataclass(frozen=True, slots=True)
class StreamPlace:
    """A stream in the Redis, or Redis Cluster, at `url`, of about `maxlen` records, 0 for all of them."""

    url: str
    stream: str = "tidegate-audit"
    maxlen: int = 1_000_000


def place_of(url: str) -> FilePlace | StreamPlace:
    """The place that a URL names; ValueError, with words for who wrote it. Connects to nothing."""
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
            raise ValueError("a file URL has three slashes and an absolute path, such as file:///var/log/tidegate")
        size = _read("max_size", parse_size, options.pop("max_size", "64MiB"))
        age = _read("max_age", parse_duration, options.pop("max_age", "1d"))
        sync = options.pop("fsync", "batch")
        if options:
            raise ValueError(f"unknown option {min(options)!r}; there are max_size, max_age and fsync")
        if sync not in ("batch", "never"):
            raise ValueError("fsync must be batch or never")
        return FilePlace(Path(unquote(parts.path)), size, age, "batch" if sync == "batch" else "never")
    if parts.scheme in _REDIS:
        stream, maxlen = options.pop("stream", "tidegate-audit"), options.pop("maxlen", "1000000")
        if not stream or not (maxlen.isascii() and maxlen.isdigit()):
            raise ValueError("stream must be a name, and maxlen a number of records, 0 for no bound")
        rest = url.partition("?")[0]  # urlunsplit would take the slashes away where no host is between them
        if options:
            rest = f"{rest}?{urlencode(options)}"
        check_url(rest)
        return StreamPlace(rest, stream, int(maxlen))
    raise ValueError(f"must begin with file://, {', '.join(f'{name}://' for name in _REDIS)}")


def _read(name: str, parse: Callable[[object], _Value], text: str) -> _Value:
    try:
        return parse(text)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def writer_name(host: str, listen: str) -> str:
    """A name for the one process that listens there, fit for a file's name."""
    return _UNSAFE.sub("_", f"{host}_{listen}")
