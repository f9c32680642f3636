"""Secrets that a policy names and does not hold: they stand in a file or in an environment variable."""

from __future__ import annotations

import os
from pathlib import Path

from tidegate.policy.files import read_start

_MAX_BYTES = 4096
_MAX_TEXT = 64 * 1024
_PUBLIC = (b"-----BEGIN", b"ssh-", b"ecdsa-", b"sk-ssh-", b"{")  # keys and certificates, which others may know


def read_secret(file: Path | None, env: str | None, *, at_least: int = 1, text: bool = False) -> bytes:
    """The secret in `file`, without the line end that editors add, or in the environment variable `env`.

    `text` is for a client's secret, which is visible ASCII (RFC 6749 appendix A.2).
    ValueError says in one sentence what is wrong, and nothing of what the secret is.
    """
    secret = (_of_env(env) if file is None else read_start(file, _MAX_BYTES + 3)).rstrip(b"\r\n")
    where = f"the secret in {named(file, env)}"
    if secret.startswith(_PUBLIC):
        raise ValueError(f"{where} is a key or a certificate; it must be random bytes that nobody else knows")
    if len(secret) < at_least:
        raise ValueError(f"{where} has {len(secret)} bytes; it needs {at_least} or more")
    if len(secret) > _MAX_BYTES:
        raise ValueError(f"{where} is longer than {_MAX_BYTES} bytes")
    if text and not all(0x20 <= byte < 0x7F for byte in secret):
        raise ValueError(f"{where} must be visible ASCII characters")
    return secret


def read_text(file: Path | None, env: str | None) -> str:
    """The ASCII text in `file`, or in the environment variable `env`. Raises ValueError as `read_secret` does."""
    found = _of_env(env) if file is None else read_start(file, _MAX_TEXT + 1)
    if len(found) > _MAX_TEXT or not found.isascii():
        raise ValueError(f"what is in {named(file, env)} is no ASCII text of at most {_MAX_TEXT // 1024} KiB")
    return found.decode("ascii")


def named(file: Path | None, env: str | None) -> str:
    """The place, in words."""
    return f"the environment variable {env}" if file is None else repr(str(file))


def _of_env(name: str | None) -> bytes:
    value = os.environ.get(name or "")
    if value is None:
        raise ValueError(f"the environment variable {name} is not set")
    return os.fsencode(value)
