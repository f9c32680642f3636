"""The addresses of a process, and the TLS files behind them."""

from __future__ import annotations

import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Gauge
from tidegate.demo.stack import free_ports, listening
from tidegate.listening import serve_metrics, server_credentials
from tidegate.settings import SettingsError, Tls

from tests.e2e.certificates import Certificates, make_certificates


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(Path(tmp_path_factory.mktemp("certificates")))


@pytest.fixture
def tls(made: Certificates) -> Tls:
    return Tls(made.cert, made.key, made.ca)


def test_good_files(tls: Tls) -> None:
    assert server_credentials(tls) is not None
    assert server_credentials(replace(tls, client_ca=None)) is not None


def test_a_key_of_another_certificate(tls: Tls, tmp_path: Path) -> None:
    other = make_certificates(tmp_path)
    with pytest.raises(
        SettingsError, match=r"are not a certificate and its unencrypted key in PEM \(key values mismatch"
    ):
        server_credentials(replace(tls, key=other.key))


def test_a_ca_that_is_none(tls: Tls, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("junk")
    with pytest.raises(SettingsError, match=r"ca\.pem holds no CA certificate in PEM"):
        server_credentials(replace(tls, client_ca=tmp_path / "ca.pem"))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_metrics_are_served_until_they_are_closed(host: str) -> None:
    (port,) = free_ports(1)
    registry = CollectorRegistry()
    Gauge("up", "1", registry=registry).set(1)
    close = serve_metrics(f"{host}:{port}", registry)
    try:
        with urllib.request.urlopen(f"http://{host}:{port}/metrics") as answer:
            assert b"up 1.0" in answer.read()
    finally:
        close()
    assert not listening(port)


def test_a_host_that_nobody_knows() -> None:
    with pytest.raises(SettingsError, match=r"--metrics: cannot listen on none\.invalid:9501: "):
        serve_metrics("none.invalid:9501", CollectorRegistry())
