"""Whoever sends a request slowly, with a key or without, keeps Envoy waiting and nobody else."""

from __future__ import annotations

import socket
from contextlib import ExitStack

from tests.e2e.priced import ask
from tests.e2e.stack import Gate, until
from tests.e2e.upstream import json_answer

CLIENTS = 20
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n"


def test_who_sends_a_body_slowly_holds_no_stream_of_a_worker(priced: Gate, model: str) -> None:
    with ExitStack() as opened:
        clients = [opened.enter_context(socket.create_connection(("127.0.0.1", priced.port))) for _ in range(CLIENTS)]
        for client in clients:
            client.settimeout(60)
            client.sendall(HEAD + b"{")
        until(lambda: priced.stat("http.edge.downstream_rq_active") >= CLIENTS, timeout=30)
        assert ask(priced, json_answer({}), model).status_code == 200
        until(lambda: priced.metric("tidegate_streams") == 0, timeout=30)
        for client in clients:
            client.sendall(b"}")
        assert [client.recv(12) for client in clients] == [b"HTTP/1.1 401"] * CLIENTS
