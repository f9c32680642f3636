"""What the network client sends again, and what it sends once, because it may have been charged."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack, suppress

import grpc
import pytest
from tidegate_client import TidegateUnavailable
from tidegate_client.background import Background
from tidegate_client.messages import SERVICE

from tests.client.scripted import Client, Scripted
from tests.client.world import FREE, HOST, free_port, held, serving


def test_what_is_safe_is_tried_again(client: Client, loop: Background) -> None:
    service = Scripted(*[grpc.StatusCode.UNAVAILABLE] * 2, None, *[grpc.StatusCode.UNAVAILABLE] * 2)
    with held(loop, serving(service.handlers())) as target:
        gate = client(target, timeout=5, retries=2)
        assert gate.filter_text("x", rulesets=["pii"]).text == "ok"
        assert gate.settle("r", 1)
        assert service.calls == ["FilterText"] * 3 + ["Settle"] * 3

        service.steps = [grpc.StatusCode.UNAVAILABLE, None]
        assert gate.extend("r", {"tokens": 0}) == "extended"
        assert service.calls[6:] == ["Extend"] * 2

        service.steps = [grpc.StatusCode.UNAVAILABLE] * 9
        with pytest.raises(TidegateUnavailable):
            gate.settle("r", 1)
        assert len(service.calls) == 11


def test_what_may_have_been_charged_is_not_tried_again(client: Client, loop: Background) -> None:
    service = Scripted(*[grpc.StatusCode.UNAVAILABLE] * 4)
    with held(loop, serving(service.handlers())) as target:
        gate = client(target, timeout=5, retries=2)
        with pytest.raises(TidegateUnavailable):
            gate.consume("chat", FREE)
        with pytest.raises(TidegateUnavailable):
            gate.decide("GET", "/", host=HOST)
        with pytest.raises(TidegateUnavailable):
            gate.extend("r", {"tokens": 1})
    assert service.calls == ["Consume", "Decide", "Extend"]


def test_a_charge_is_not_tried_again_when_the_connection_breaks_after_it_was_sent(client: Client) -> None:
    """A peer that takes calls and hangs up. What is safe, in contrast, is sent again."""
    received = bytearray()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            while True:
                try:
                    peer, _ = listener.accept()
                except OSError:
                    return
                with peer, suppress(OSError):
                    # SETTINGS, so that the client believes the connection and sends its call; then the end.
                    peer.sendall(b"\x00\x00\x00\x04\x00\x00\x00\x00\x00")
                    seen = b""
                    while SERVICE.encode() not in seen and (data := peer.recv(65536)):
                        seen += data
                        received.extend(data)

        thread = threading.Thread(target=hang_up, daemon=True)
        thread.start()
        gate = client(f"127.0.0.1:{listener.getsockname()[1]}", timeout=2, retries=2)
        with pytest.raises(TidegateUnavailable):
            gate.consume("chat", FREE)
        with pytest.raises(TidegateUnavailable):
            gate.settle("r", 1)
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)
    assert received.count(b"/Consume") == 1
    assert received.count(b"/Settle") > 1  # some of its attempts may find the connection not yet made again


def test_a_charge_waits_for_a_service_that_is_only_late(client: Client, loop: Background) -> None:
    service, port = Scripted(), free_port()
    gate = client(f"127.0.0.1:{port}", timeout=10, retries=20)
    with ExitStack() as stack:
        late = threading.Timer(
            0.3, lambda: stack.enter_context(held(loop, serving(service.handlers(), target=f"127.0.0.1:{port}")))
        )
        late.start()
        try:
            assert gate.consume("chat", FREE).admitted
        finally:
            late.join()
    assert service.calls == ["Consume"]
