"""The TLS files of a server: refused in words at the start, and taken when they change while it runs."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import grpc.aio
import pytest
from cryptography import x509
from tidegate.certificates import Certificates
from tidegate.settings import SettingsError, Tls

from tests.e2e.certificates import Certificates as Made
from tests.e2e.certificates import make_certificates


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make_certificates(Path(tmp_path_factory.mktemp("certificates")))


@pytest.fixture
def tls(made: Made) -> Tls:
    return Tls(made.cert, made.key, made.ca)


def test_good_files(tls: Tls) -> None:
    assert Certificates(tls).credentials() is not None
    assert Certificates(replace(tls, client_ca=None)).credentials() is not None


def test_when_they_begin_to_expire_is_known(tls: Tls, made: Made) -> None:
    def end(file: Path) -> float:
        return x509.load_pem_x509_certificate(file.read_bytes()).not_valid_after_utc.timestamp()

    assert Certificates(tls).ends == (("server", end(made.cert)), ("client_ca", end(made.ca)))
    assert Certificates(replace(tls, client_ca=None)).ends == (("server", end(made.cert)),)


def test_a_key_of_another_certificate(tls: Tls, tmp_path: Path) -> None:
    other = make_certificates(tmp_path)
    with pytest.raises(
        SettingsError, match=r"are not a certificate and its unencrypted key in PEM \(key values mismatch"
    ):
        Certificates(replace(tls, key=other.key))


def test_a_ca_that_is_none(tls: Tls, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("junk")
    with pytest.raises(SettingsError, match=r"ca\.pem holds no CA certificate in PEM"):
        Certificates(replace(tls, client_ca=tmp_path / "ca.pem"))


@asynccontextmanager
async def serving(certificates: Certificates) -> AsyncIterator[int]:
    server = grpc.aio.server()
    port = server.add_secure_port("127.0.0.1:0", certificates.credentials())
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


async def shown(port: int, client: Made | None = None) -> int:
    """The serial number of the certificate that a new connection is shown."""

    def connect() -> int:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        if client is not None:
            context.load_cert_chain(client.cert, client.key)
        with socket.create_connection(("127.0.0.1", port), 5) as raw, context.wrap_socket(raw) as secure:
            data = secure.getpeercert(binary_form=True)
            assert data is not None
            secure.settimeout(5)
            assert secure.recv(1)  # the server's settings: it took the client's certificate, or did not ask for one
            return x509.load_der_x509_certificate(data).serial_number

    return await asyncio.to_thread(connect)


def serial(made: Made) -> int:
    return x509.load_pem_x509_certificate(made.cert.read_bytes()).serial_number


def put(made: Made, into: Path) -> Tls:
    """The files of `made` in another place, as whoever renews them writes them: each at once."""
    for name in ("cert", "key", "ca"):
        shutil.copy(getattr(made, name), into / f"{name}.new")
        (into / f"{name}.new").replace(into / name)
    return Tls(into / "cert", into / "key", None)


async def test_new_files_are_shown_to_new_connections_without_a_restart(tmp_path: Path) -> None:
    old, new = (make_certificates(tmp_path / name) for name in ("old", "new") if not (tmp_path / name).mkdir())
    changes: list[str] = []
    tls = put(old, tmp_path)
    certificates = Certificates(tls, on_change=lambda: changes.append("taken"))
    async with serving(certificates) as port:
        assert await shown(port) == serial(old)
        put(new, tmp_path)
        assert await shown(port) == serial(new)
        assert await shown(port) == serial(new)
    assert changes == ["taken"]


async def test_files_that_do_not_fit_change_nothing_until_they_do(tmp_path: Path) -> None:
    old, new = (make_certificates(tmp_path / name) for name in ("old", "new") if not (tmp_path / name).mkdir())
    errors: list[str] = []
    tls = put(old, tmp_path)
    certificates = Certificates(tls, on_error=lambda error: errors.append(str(error)))
    async with serving(certificates) as port:
        shutil.copy(new.cert, tls.cert)  # the key is still the old one
        assert await shown(port) == serial(old)
        assert await shown(port) == serial(old)
        assert len(errors) == 1
        assert "key values mismatch" in errors[0]
        tls.key.unlink()
        assert await shown(port) == serial(old)
        assert await shown(port) == serial(old)
        assert len(errors) == 2
        assert errors[1].endswith("cannot be read: No such file or directory")
        shutil.copy(new.key, tls.key)
        assert await shown(port) == serial(new)


async def test_another_client_authority_counts_for_new_connections(tmp_path: Path) -> None:
    old, new = (make_certificates(tmp_path / name) for name in ("old", "new") if not (tmp_path / name).mkdir())
    tls = replace(put(old, tmp_path), client_ca=tmp_path / "ca")
    async with serving(Certificates(tls)) as port:
        assert await shown(port, old) == serial(old)
        with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
            await shown(port, new)
        put(new, tmp_path)
        assert await shown(port, new) == serial(new)
        with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
            await shown(port, old)
