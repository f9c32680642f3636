"""What a process publishes over HTTP: metrics, and the keys that verify its context tokens."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from prometheus_client import CollectorRegistry, Gauge
from tidegate.demo.stack import free_ports, listening
from tidegate.published import JWKS_PATH, _Quiet, publish
from tidegate.settings import SettingsError


@contextmanager
def published(jwks: bytes | None, host: str = "127.0.0.1") -> Iterator[str]:
    (port,) = free_ports(1)
    registry = CollectorRegistry()
    Gauge("up", "1", registry=registry).set(1)
    close = publish(f"{host}:{port}", registry, lambda: jwks)
    try:
        yield f"http://{host}:{port}"
    finally:
        close()
    assert not listening(port)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_metrics_are_served_until_they_are_closed(host: str) -> None:
    with published(None, host) as base, urllib.request.urlopen(f"{base}/metrics") as answer:
        assert b"up 1.0" in answer.read()


def test_the_keys_are_served_with_how_long_they_may_be_kept() -> None:
    with published(b'{"keys":[]}') as base, urllib.request.urlopen(base + JWKS_PATH) as answer:
        assert answer.read() == b'{"keys":[]}'
        assert answer.headers["content-type"] == "application/jwk-set+json"
        assert answer.headers["cache-control"] == "public, max-age=300"


def test_head_gets_no_body() -> None:
    with published(b'{"keys":[]}') as base:
        request = urllib.request.Request(base + JWKS_PATH, method="HEAD")
        with urllib.request.urlopen(request) as answer:
            assert (answer.read(), answer.headers["content-length"]) == (b"", "11")


@pytest.mark.parametrize(("jwks", "method"), [(None, "GET"), (b'{"keys":[]}', "POST")])
def test_where_there_are_no_keys_nothing_is_there(jwks: bytes | None, method: str) -> None:
    with published(jwks) as base:
        request = urllib.request.Request(base + JWKS_PATH, method=method)
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(request)


@pytest.mark.parametrize("sent", [b"", b"GET /metr", b"GET /metrics HTTP/1.1\r\nhost: x\r\n"])
def test_who_connects_and_asks_nothing_keeps_no_thread(
    sent: bytes, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_Quiet, "timeout", 0.05)
    with published(None) as base:
        host, _, port = base.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port)), timeout=30) as client:
            client.sendall(sent)
            assert client.recv(1) == b""
        monkeypatch.undo()
        with urllib.request.urlopen(f"{base}/metrics") as answer:
            assert answer.status == 200
    assert capfd.readouterr().err == ""


def test_a_host_that_nobody_knows() -> None:
    with pytest.raises(SettingsError, match=r"--metrics: cannot listen on none\.invalid:9501: "):
        publish("none.invalid:9501", CollectorRegistry())
