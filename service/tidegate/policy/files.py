"""Files that a policy names. What is wrong with one is a ValueError of one sentence, which quotes nothing of it."""

from __future__ import annotations

from pathlib import Path


def read_start(path: Path, most: int) -> bytes:
    """The first `most` bytes."""
    try:
        with path.open("rb") as file:
            return file.read(most)
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot read {str(path)!r}: {getattr(error, 'strerror', None) or 'bad file name'}") from None


def read_whole(path: Path, most: int) -> bytes:
    """All of it, if that is no more than `most` bytes."""
    content = read_start(path, most + 1)
    if len(content) > most:
        size = f"{most // 1024**2} MiB" if most > 1024**2 else f"{most // 1024} KiB"
        raise ValueError(f"{str(path)!r} is larger than {size}")
    return content


def decoded(path: Path, content: bytes) -> str:
    """The text of a content, without a byte order mark."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {line} of {str(path)!r} is not UTF-8") from None
