"""Time to the first token of a stream through the real Envoy: tidegate against a pass-through ext_proc.

Tokens are GAP apart. A word is held until the next token shows that it does not grow into a value, so the first text is
later than the first event by one gap; both are reported, each against the pass-through in the same run, and once more
where Envoy asks Process alone (`--one-call`), against a pass-through that is asked so.
"""

from __future__ import annotations

import json
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tidegate.demo.stack import free_ports, running_envoy
from tidegate.envoy.config import Address, EnvoyConfig

from tests.bench import world as bench

GAP = 0.002  # seconds between tokens
REQUESTS = 150
_TOKENS = ["The", " answer", " is", " here", ":", " ada@", "example", ".com", "."]


class _Model(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for token in _TOKENS:
            event = {"choices": [{"index": 0, "delta": {"content": token}}]}
            self._chunk(f"data: {json.dumps(event)}\n\n".encode())
            time.sleep(GAP)
        self._chunk(b"data: [DONE]\n\n")
        self._chunk(b"")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        self.wfile.flush()

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def _model() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Model)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def _config(listen: int, model: int, policy: str, *, one_call: bool) -> str:
    config = EnvoyConfig(
        listen=Address("127.0.0.1", listen),
        workers=(Address.parse(policy),),
        default_upstream=Address("127.0.0.1", model),
        one_call=one_call,
    )
    return config.render()


def _once(port: int, key: str) -> tuple[float, float]:
    """(seconds to the first event, seconds to the first non-empty text)."""
    request = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: models.example.com\r\nx-model: small\r\n"
        f"authorization: Bearer {key}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        started = time.perf_counter()
        connection.sendall(request.encode())
        seen = b""
        first_event = first_text = 0.0
        while data := connection.recv(65536):
            seen += data
            now = time.perf_counter() - started
            if not first_event and b"data:" in seen:
                first_event = now
            if not first_text and b"The" in seen:
                first_text = now
    if b" 200 OK" not in seen or not first_text or b"[DONE]" not in seen:
        raise RuntimeError(f"the stream did not come through: {seen[:300]!r}")
    return first_event, first_text


def measure(directory: Path) -> dict[str, float]:
    """Milliseconds that tidegate adds to the first event and to the first text, medians."""
    directory.mkdir(parents=True, exist_ok=True)
    world = bench.build(directory)
    with ExitStack() as stack:
        model = stack.enter_context(_model())
        policies = {
            "noop": stack.enter_context(bench.noop(world)),
            "tidegate": stack.enter_context(bench.tidegate(world))[0],
        }
        ports = {}
        for calls in ("", "_one_call"):
            for name, address in policies.items():
                (listen,) = free_ports(1)
                config = _config(listen, model, address, one_call=bool(calls))
                stack.enter_context(running_envoy(config, directory / (name + calls), port=listen))
                ports[name + calls] = listen
        samples: dict[str, list[tuple[float, float]]] = {name: [] for name in ports}
        for _ in range(10):
            for port in ports.values():
                _once(port, world.key)
        for _ in range(REQUESTS):
            for name, port in ports.items():
                samples[name].append(_once(port, world.key))
    event = {name: statistics.median(s[0] for s in each) for name, each in samples.items()}
    text = {name: statistics.median(s[1] for s in each) for name, each in samples.items()}
    figures = {}
    for calls in ("", "_one_call"):
        ours, nothing = f"tidegate{calls}", f"noop{calls}"
        figures[f"sse{calls}_first_event_added_ms"] = round((event[ours] - event[nothing]) * 1000, 2)
        figures[f"sse{calls}_first_text_added_ms"] = round((text[ours] - text[nothing]) * 1000, 2)
        figures[f"sse{calls}_first_text_noop_ms"] = round(text[nothing] * 1000, 2)
    return figures
