"""The addresses of a process."""

from __future__ import annotations

import urllib.request

import pytest
from prometheus_client import CollectorRegistry, Gauge
from tidegate.demo.stack import free_ports, listening
from tidegate.listening import serve_metrics
from tidegate.settings import SettingsError


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
