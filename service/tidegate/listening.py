"""The gRPC address that one process takes, in plain text or TLS. Refused in words."""

from __future__ import annotations

import socket

import grpc
import grpc.aio

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
