"""How one process runs: where it listens, what it stores in, with which secrets. Policy is elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
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
    `store_timeout` are seconds. `replicas` is how many processes share the limits until heartbeats say otherwise. With
    `shadow` responses are read by every rule, and changed by none. `audit` is the URL of the place for audit records,
    "" for none. `pseudonym_keys` are the secrets of pseudonyms that lead back, the one that seals first.
    `otlp` is the collector that traces go to, "" for none.
    """

    policy: Path
    listen: str = "127.0.0.1:9401"
    metrics: str = "127.0.0.1:9501"
    store: str = field(default="memory://", repr=False)  # its password is in it
    workers: int = 1
    pepper: bytes = field(default=b"", repr=False)
    pseudonym_keys: tuple[bytes, ...] = field(default=(), repr=False)
    tls: Tls | None = None
    drain: float = 10.0
    health_grace: float = 0.0
    store_timeout: float = 0.05
    replicas: int = 1
    log_level: str = "info"
    shadow: bool = False
    audit: str = field(default="", repr=False)
    otlp: str = ""
    max_message: int = 64 * 1024 * 1024

    def for_worker(self, index: int) -> Settings:
        """The settings of worker `index` (0-based)."""
        listen = offset(self.listen, index, flag="--listen", unix=True)
        metrics = offset(self.metrics, index, flag="--metrics")
        replicas = max(self.replicas, self.workers)
        return replace(self, workers=1, replicas=replicas, listen=listen, metrics=metrics)


def offset(address: str, index: int, *, flag: str, unix: bool = False) -> str:
    """`address` for worker `index`: port + index, or path.index. Raises `SettingsError` for what is no address."""
    if unix and address.startswith("unix:") and address != "unix:":
        return address if index == 0 else f"{address}.{index}"
    host, _, port = address.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not (host and (bracketed or ":" not in host) and port.isascii() and port.isdigit() and len(port) < 6):
        raise SettingsError(
            f"{flag}: '{address}' is not host:port{', [v6]:port or unix:/path' if unix else ' or [v6]:port'}"
        )
    last = int(port) + index
    if not 0 < int(port) <= last < 65536:
        raise SettingsError(f"{flag}: port {last} is not in 1 to 65535" + (f" (worker {index})" if index else ""))
    return f"{host}:{last}"


def read_pepper(path: Path | None, value: str) -> bytes:
    """The secret that key hashes are keyed with, from a file or a value; b"" when neither is given."""
    if path is not None:
        try:
            pepper = path.read_bytes().strip()
        except OSError as error:
            raise SettingsError(f"key pepper file: {path}: cannot be read: {error.strerror}") from error
    else:
        pepper = value.encode("utf-8", "surrogateescape")  # as the variable has it
    if (pepper or path is not None) and len(pepper) < MIN_PEPPER:
        raise SettingsError(f"the key pepper must have at least {MIN_PEPPER} bytes")
    return pepper


@contextmanager
def naming(flag: str) -> Iterator[None]:
    """A ValueError inside becomes a `SettingsError` that names the flag."""
    try:
        yield
    except ValueError as error:
        raise SettingsError(f"{flag}: {error}") from None
