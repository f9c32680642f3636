"""Records in files: one JSON line each, a directory for all writers, and a series of files for each.

A file is named after its writer and the number of its first record, and is only ever added to. What a crash tore at its
end stays there: the next file says how long it is.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from tidegate.audit.chain import Head, Sealed, parse, split
from tidegate.audit.sink import FilePlace
from tidegate.clock import Clock
from tidegate.errors import AuditUnavailable

SUFFIX = ".jsonl"

_Result = TypeVar("_Result")


class FileSink:
    """The files of one writer. All that may block runs on a thread of its own."""

    def __init__(self, place: FilePlace, writer: str, *, clock: Clock) -> None:
        self._place = place
        self._writer = writer
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, "audit")
        self._lock: int | None = None
        self._file: int | None = None
        self._path = Path()
        self._size = 0
        self._opened = 0.0

    async def open(self) -> tuple[Head, int]:
        """Take the writer's name, and find where its last file ends."""
        return await self._run(self._find)

    async def append(self, records: Sequence[Sealed]) -> None:
        """Write records. What a failed attempt left is written over."""
        await self._run(lambda: self._write(records))

    def full(self, now: float) -> bool:
        """By size or by age."""
        return self._size >= self._place.max_size or now - self._opened >= self._place.max_age

    async def close(self) -> None:
        """Close the file, and give the name back."""
        for descriptor in (self._file, self._lock):
            if descriptor is not None:
                os.close(descriptor)
        self._file = self._lock = None
        self._thread.shutdown(wait=False)

    async def _run(self, step: Callable[[], _Result]) -> _Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, step)
        except OSError as failure:
            raise AuditUnavailable(failure.strerror or type(failure).__name__) from failure

    def _find(self) -> tuple[Head, int]:
        directory = self._place.directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._lock is None:
            lock = os.open(directory / f"{self._writer}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(lock)
                raise AuditUnavailable("another process writes under this name") from None
            self._lock = lock
        files = sorted(directory.glob(f"{self._writer}.*{SUFFIX}"))
        for path in reversed(files):
            head, torn = _end_of(path)
            if head.seq:
                return head, torn
        return Head(), 0

    def _write(self, records: Sequence[Sealed]) -> None:
        first = records[0]
        if first.opens:
            self._begin(first)
        assert self._file is not None  # noqa: S101 - the first record of a process opens a file
        data = memoryview(b"".join([part for record in records for part in (record.line, b"\n")]))
        at = self._size
        try:
            while data:
                written = os.pwrite(self._file, data, at)
                at, data = at + written, data[written:]
            if self._place.sync == "batch":
                os.fdatasync(self._file)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._file, self._size)
            raise
        self._size = at

    def _begin(self, first: Sealed) -> None:
        """The file that begins with `first`: there already if the first attempt to write it failed."""
        path = self._place.directory / f"{self._writer}.{first.head.seq:012d}{SUFFIX}"
        if self._file is None or path != self._path:
            made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            if self._file is not None:
                os.close(self._file)
            self._file, self._path = made, path
            self._size, self._opened = 0, self._clock.now()
            if self._place.sync == "batch":
                _sync_directory(self._place.directory)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _end_of(path: Path) -> tuple[Head, int]:
    """The last record of a file, and how many bytes follow it."""
    data = path.read_bytes()
    end = len(data)
    while (end := data.rfind(b"\n", 0, end)) >= 0:
        start = data.rfind(b"\n", 0, end) + 1
        with suppress(ValueError):
            digest, body = split(data[start:end])
            return Head(parse(body)["seq"], digest), len(data) - end - 1
    return Head(), len(data)
