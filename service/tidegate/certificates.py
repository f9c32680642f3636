"""The TLS files of a server: judged in words at the start, and read again whenever they have changed.

Every handshake begins with a look at the files, so whoever replaces them (cert-manager, certbot, a mounted secret)
needs no signal and no restart, and connections that are open go on. A pair that does not fit, which is what a look
between two writes finds, changes nothing: the next handshake looks again.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

import grpc
from cryptography import x509

from tidegate.settings import SettingsError, Tls

_Stamp = tuple[tuple[int, int, int], ...]
_Ends = tuple[tuple[str, float], ...]


class Certificates:
    """What a server shows its clients. `on_change` is called after files were taken, `on_error` when they cannot be.

    Raises `SettingsError` for what cannot be read, or is no certificate or key, at the start. Both callbacks come from
    gRPC's threads. `ends` says when the certificates that are shown and trusted begin to expire, seconds since the Unix
    epoch: of the "server" and of the "client_ca".
    """

    def __init__(
        self,
        tls: Tls,
        *,
        on_change: Callable[[], None] = lambda: None,
        on_error: Callable[[SettingsError], None] = lambda _error: None,
    ) -> None:
        self._tls = tls
        self._on_change = on_change
        self._on_error = on_error
        self._stamp = _stamp(tls)
        self._first, self.ends = _read(tls)
        self._told = ""

    def credentials(self) -> grpc.ServerCredentials:
        """For a server's port; a client CA means that clients without a certificate of it are refused."""
        mutual = self._tls.client_ca is not None
        return grpc.dynamic_ssl_server_credentials(self._first, self.changed, require_client_authentication=mutual)

    def changed(self) -> grpc.ServerCertificateConfiguration | None:
        """What the files say, if that is news and good."""
        try:
            stamp = _stamp(self._tls)
            if stamp == self._stamp:
                return None
            self._stamp = stamp
            taken, ends = _read(self._tls)
        except SettingsError as error:
            if str(error) != self._told:  # once, and not at every handshake
                self._told = str(error)
                self._on_error(error)
            return None
        if _stamp(self._tls) != stamp:  # replaced while they were read: the next look takes them
            self._stamp = ()
            return None
        self._told = ""
        self.ends = ends
        self._on_change()
        return taken


def _files(tls: Tls) -> tuple[Path, ...]:
    return (tls.cert, tls.key) if tls.client_ca is None else (tls.cert, tls.key, tls.client_ca)


def _stamp(tls: Tls) -> _Stamp:
    try:
        stats = [file.stat() for file in _files(tls)]
    except OSError as error:
        raise _unreadable(error) from None
    return tuple((stat.st_ino, stat.st_mtime_ns, stat.st_size) for stat in stats)


def _read(tls: Tls) -> tuple[grpc.ServerCertificateConfiguration, _Ends]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # gRPC does not say what is wrong with a file; this does
    try:
        key, cert = tls.key.read_bytes(), tls.cert.read_bytes()
        client_ca = tls.client_ca.read_bytes() if tls.client_ca else None
    except OSError as error:
        raise _unreadable(error) from None
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
    ends = ("server", _first_end(cert)), *((("client_ca", _first_end(client_ca)),) if client_ca else ())
    return grpc.ssl_server_certificate_configuration([(key, cert)], root_certificates=client_ca), ends


def _first_end(data: bytes) -> float:
    """When a file's certificates begin to expire: a chain is no longer than its first end."""
    return min(one.not_valid_after_utc.timestamp() for one in x509.load_pem_x509_certificates(data))


def _unreadable(error: OSError) -> SettingsError:
    return SettingsError(f"TLS: {error.filename}: cannot be read: {error.strerror}")


def _words(error: ssl.SSLError) -> str:
    return (error.reason or "unknown").lower().replace("_", " ")
