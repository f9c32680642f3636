"""Replacing a file whole: a crash leaves the old one or the new one, and two writers lose nothing."""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_PRIVATE: Final = 0o600


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Hold the folder's lock: the file itself is replaced, so a lock on it would guard nothing."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def replace(target: Path, text: str) -> None:
    """Put `text` in the place of a file at once; one that is new is its owner's alone. Raises OSError.

    Mode and owner stay: what root writes for a service must not become unreadable to it.
    """
    known = target.stat() if target.exists() else None
    mode = _PRIVATE if known is None else stat.S_IMODE(known.st_mode)
    handle, made = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            if known is not None and (known.st_uid, known.st_gid) != (os.geteuid(), os.getegid()):
                with suppress(PermissionError):  # who may not give files away
                    os.fchown(file.fileno(), known.st_uid, known.st_gid)
            os.fchmod(file.fileno(), mode)  # after it: a change of the owner may clear bits
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(made).replace(target)
    except BaseException:
        Path(made).unlink(missing_ok=True)
        raise
