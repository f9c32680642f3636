"""How a channel to the service is opened: its credentials, its options, its deadline."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from tidegate_client.breaker import Breaker
from tidegate_client.engine import OnUnavailable
from tidegate_client.errors import TidegateUnavailable
from tidegate_client.messages import StreamRpc

# A service that comes back is found within a retry; a connection that died in silence is noticed.
_OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),  # what the service takes, it may also answer
)


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files, read once when the connection is opened. One that cannot be read is `TidegateUnavailable` there.

    `ca` is what the service's certificate must chain to (None: the roots that come with gRPC); `cert` and `key` are
    this client's own, for mTLS: both or neither.
    """

    ca: str | Path | None = None
    cert: str | Path | None = None
    key: str | Path | None = None

    def __post_init__(self) -> None:
        if (self.cert is None) != (self.key is None):
            raise ValueError("mTLS needs both cert and key")

    def credentials(self) -> Any:
        """gRPC channel credentials."""
        return grpc.ssl_channel_credentials(
            root_certificates=_read(self.ca), private_key=_read(self.key), certificate_chain=_read(self.cert)
        )


@dataclass(frozen=True, slots=True)
class Link:
    """Where the service is and how it is called.

    `timeout` is seconds for one call with all its retries, and for each answer of a text's stream; `response_timeout`
    for each answer of an exchange, which may be a whole document read.
    """

    target: str
    tls: Tls | None
    timeout: float
    retries: int
    on_unavailable: OnUnavailable
    options: Sequence[tuple[str, Any]]
    response_timeout: float
    breaker: Breaker | None

    def __post_init__(self) -> None:
        if not (self.timeout > 0 and self.response_timeout > 0):
            raise ValueError("timeout and response_timeout must be above 0 seconds")
        if self.retries < 0:
            raise ValueError("retries must not be negative")
        if self.on_unavailable not in ("raise", "deny"):
            raise ValueError("on_unavailable is 'raise' or 'deny'")

    def guard(self) -> AbstractContextManager[None]:
        """Around one call. Raises `CircuitOpen` in its place."""
        return nullcontext() if self.breaker is None else self.breaker.call()

    def answer_timeout(self, rpc: StreamRpc) -> float:
        """Seconds that one answer of a stream may take."""
        return self.response_timeout if rpc == "Exchange" else self.timeout

    def open(self, transport: Any) -> Any:
        """A channel of `transport` (`grpc` or `grpc.aio`). Nothing is connected before the first call."""
        options = (*_OPTIONS, *self.options)
        if self.tls is None:
            return transport.insecure_channel(self.target, options=options)
        return transport.secure_channel(self.target, self.tls.credentials(), options=options)


def _read(path: str | Path | None) -> bytes | None:
    try:
        return None if path is None else Path(path).read_bytes()
    except OSError as failure:
        raise TidegateUnavailable("UNAVAILABLE", f"{path}: {failure.strerror}") from failure
