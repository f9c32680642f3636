"""The addresses that one process takes: its gRPC port, in plain text or TLS, and its metrics port. Refused in words."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable

import grpc
import grpc.aio
from prometheus_client import CollectorRegistry, start_http_server

from tidegate.settings import Settings, SettingsError, Tls


def bind(server: grpc.aio.Server, settings: Settings) -> None:
    """Take the gRPC address. Raises `SettingsError` when it is not to be had, or the TLS files cannot be used."""
    address = settings.listen
    try:
        if settings.tls is None:
            server.add_insecure_port(address)
        else:
            server.add_secure_port(address, server_credentials(settings.tls))
    except RuntimeError:
        raise SettingsError(f"--listen: cannot listen on {address}: {_reason(address)}") from None


def server_credentials(tls: Tls) -> grpc.ServerCredentials:
    """The files of `tls`, read once. Raises `SettingsError` for what cannot be read or is no certificate or key."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # gRPC does not say what is wrong with a file; this does
    try:
        key, cert = tls.key.read_bytes(), tls.cert.read_bytes()
        client_ca = tls.client_ca.read_bytes() if tls.client_ca else None
    except OSError as error:
        raise SettingsError(f"TLS: {error.filename}: cannot be read: {error.strerror}") from None
    try:
        context.load_cert_chain(tls.cert, tls.key, password=lambda: b"")
    except ssl.SSLError as error:
        raise SettingsError(
            f"TLS: {tls.cert} and {tls.key} are not a certificate and its unencrypted key in PEM ({_words(error)})"
        ) from None
    try:
        if tls.client_ca:
            context.load_verify_locations(tls.client_ca)
    except ssl.SSLError as error:
        raise SettingsError(f"TLS: {tls.client_ca} holds no CA certificate in PEM ({_words(error)})") from None
    return grpc.ssl_server_credentials(
        [(key, cert)], root_certificates=client_ca, require_client_auth=client_ca is not None
    )


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


def _words(error: ssl.SSLError) -> str:
    return (error.reason or "unknown").lower().replace("_", " ")
