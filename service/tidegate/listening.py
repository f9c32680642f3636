"""The addresses that one process takes: its gRPC port, in plain text or TLS, and its metrics port. Refused in words."""

from __future__ import annotations

import socket
from collections.abc import Callable

import grpc
import grpc.aio
from prometheus_client import CollectorRegistry, start_http_server

from tidegate.settings import Settings, SettingsError


def bind(server: grpc.aio.Server, settings: Settings, credentials: grpc.ServerCredentials | None) -> None:
    """Take the gRPC address, in plain text without credentials. Raises `SettingsError` when it is not to be had."""
    address = settings.listen
    try:
        if credentials is None:
            server.add_insecure_port(address)
        else:
            server.add_secure_port(address, credentials)
    except RuntimeError:
        raise SettingsError(f"--listen: cannot listen on {address}: {_reason(address)}") from None


def serve_metrics(address: str, registry: CollectorRegistry) -> Callable[[], None]:
    """Serve /metrics at "host:port" from a thread; the function that ends it. Raises `SettingsError`."""
    host, _, port = address.rpartition(":")
    try:
        server, thread = start_http_server(int(port), host.strip("[]"), registry)
    except OSError as error:
        raise SettingsError(f"--metrics: cannot listen on {address}: {error.strerror}") from None

    def close() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return close


def _reason(address: str) -> str:
    """What the system answers to somebody who wants that address: gRPC keeps it to itself."""
    try:
        if address.startswith("unix:"):
            family, place = socket.AF_UNIX, address.removeprefix("unix:")
            with socket.socket(family) as probe:
                probe.bind(place)
        else:
            host, _, port = address.rpartition(":")
            found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            with socket.socket(found[0][0]) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(found[0][4])
    except OSError as error:
        return error.strerror or str(error)
    return "gRPC refuses it"
