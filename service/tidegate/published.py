"""What a process publishes over plain HTTP: its metrics, and the public keys of its context tokens."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from socketserver import ThreadingMixIn
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from tidegate.settings import SettingsError

JWKS_PATH: Final = "/.well-known/jwks.json"
JWKS_AGE: Final = 300
"""Seconds for which whoever fetched the keys may keep them."""


def publish(
    address: str, registry: CollectorRegistry, jwks: Callable[[], bytes | None] = lambda: None
) -> Callable[[], None]:
    """Serve at "host:port" from threads; the function that ends it. Raises `SettingsError`.

    `jwks` is the key set as JSON, asked for on those threads; None is a 404.
    """
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    app = _app(make_wsgi_app(registry), jwks)
    try:
        server = make_server(host, int(port), app, _V6 if _family(host) is socket.AF_INET6 else _V4, _Quiet)
    except OSError as error:
        raise SettingsError(f"--metrics: cannot listen on {address}: {error.strerror}") from None
    thread = threading.Thread(target=server.serve_forever, name="http", daemon=True)
    thread.start()

    def close() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return close


def _app(metrics: Callable[..., Any], jwks: Callable[[], bytes | None]) -> Callable[..., Iterable[bytes]]:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("PATH_INFO") != JWKS_PATH:
            found: Iterable[bytes] = metrics(environ, start_response)
            return found
        method = environ["REQUEST_METHOD"]
        keys = jwks() if method in ("GET", "HEAD") else None
        if keys is None:
            start_response("404 Not Found", [("content-length", "0")])
            return [b""]
        headers = {
            "content-type": "application/jwk-set+json",  # RFC 7517 section 8.5.2
            "content-length": str(len(keys)),
            "cache-control": f"public, max-age={JWKS_AGE}",
        }
        start_response("200 OK", [*headers.items()])
        return [b"" if method == "HEAD" else keys]

    return app


def _family(host: str) -> socket.AddressFamily:
    return socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][0]


class _V4(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _V6(_V4):
    address_family = socket.AF_INET6


class _Quiet(WSGIRequestHandler):
    """Somebody who asks for metrics every few seconds is no event; who connects and asks nothing keeps no thread."""

    timeout = 10.0  # seconds

    def handle(self) -> None:
        """One request, if there is one in time."""
        with suppress(TimeoutError):
            super().handle()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""
