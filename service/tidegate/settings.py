"""How one process runs: where it listens, what it stores in, with which secrets. Policy is elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from tidegate.errors import TidegateError

MIN_PEPPER = 16


class SettingsError(TidegateError):
    """A flag or environment variable that cannot be used."""


@dataclass(frozen=True, slots=True)
class Tls:
    """Certificate, key and, for mTLS, the CA that client certificates must chain to. PEM files."""

    cert: Path
    key: Path
    client_ca: Path | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a `tidegate serve` process.

    `listen` and `metrics` are "host:port"; `listen` may also be "unix:/path". Worker i of `workers` adds i to the
    ports, or ".i" to the path, because Envoy balances over addresses and never over SO_REUSEPORT. `drain` and
    `store_timeout` are seconds. `replicas` is how many processes share the limits until heartbeats say otherwise.
    """

    policy: Path
    listen: str = "127.0.0.1:9401"
    metrics: str = "127.0.0.1:9501"
    store: str = "memory://"
    workers: int = 1
    pepper: bytes = b""
    tls: Tls | None = None
    drain: float = 10.0
    health_grace: float = 0.0
    store_timeout: float = 0.05
    replicas: int = 1
    log_level: str = "info"
    max_message: int = 64 * 1024 * 1024

    def for_worker(self, index: int) -> Settings:
        """The settings of worker `index` (0-based)."""
        replicas = max(self.replicas, self.workers)
        return replace(
            self, workers=1, replicas=replicas, listen=offset(self.listen, index), metrics=offset(self.metrics, index)
        )


def offset(address: str, index: int) -> str:
    """`address` for worker `index`: port + index, or path.index. Raises `SettingsError` for what is no address."""
    if address.startswith("unix:"):
        return address if index == 0 else f"{address}.{index}"
    host, colon, port = address.rpartition(":")
    if not (colon and host and port.isdigit() and 0 < int(port) + index < 65536):
        raise SettingsError(f"'{address}' is not host:port or unix:/path")
    return f"{host}:{int(port) + index}"


def read_pepper(path: Path | None, value: str) -> bytes:
    """The secret that key hashes are keyed with, from a file or a value; b"" when neither is given."""
    if path is not None:
        try:
            pepper = path.read_bytes().strip()
        except OSError as error:
            raise SettingsError(f"key pepper file: {error.strerror}: {path}") from error
    else:
        pepper = value.encode()
    if pepper and len(pepper) < MIN_PEPPER:
        raise SettingsError(f"the key pepper must have at least {MIN_PEPPER} bytes")
    return pepper
