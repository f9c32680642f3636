"""A load generator for one unary gRPC call that costs a tenth of a gRPC library: what it sends was encoded before.

Usage: python -m tests.bench.h2_load < plan.json, see `Plan`. Prints one JSON object: answers, how many were refusals or
broke, wall and processor seconds.

It knows as much of HTTP/2 (RFC 9113) as that takes: one connection to each target, on which `callers` ask again when
they are answered; settings and pings are acknowledged, the flow control of the connection is kept. Requests are the
same bytes but for the number of the stream. Every answer is parsed, and right when it allows.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

import hpack
import uvloop
from envoy.service.auth.v3 import external_auth_pb2

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_ACK: Final = 1
_END_STREAM: Final = 1
_END_HEADERS: Final = 4
_INITIAL_WINDOW: Final = 65_535
_OURS: Final = 1 << 30  # what the server may send before it hears of us again
_PATIENCE: Final = 30.0


@dataclass(frozen=True)
class Plan:
    """`targets` are host:port, each with its own `callers`; `payload` is the message, base64."""

    targets: list[str]
    method: str
    payload: str
    callers: int
    seconds: float


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


class Connection(asyncio.Protocol):
    """One target."""

    _transport: Any

    def __init__(self, plan: Plan, counts: Counter[str]) -> None:
        self.over = asyncio.Event()
        self._counts = counts
        self._callers = plan.callers
        headers = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", plan.method),
            (":authority", "localhost"),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
        ]
        # Never indexed, so that the bytes mean the same in every request.
        self._head = hpack.Encoder().encode([hpack.NeverIndexedHeaderTuple(*one) for one in headers])
        message = base64.b64decode(plan.payload)
        self._message = b"\0" + len(message).to_bytes(4, "big") + message
        self._stream = 1
        self._window = _INITIAL_WINDOW
        self._taken = 0
        self._seen = b""
        self._answers: dict[int, bytes] = {}
        self._waiting = 0
        self._out: list[bytes] = []
        self._open = True

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        settings = (4).to_bytes(2, "big") + (1 << 20).to_bytes(4, "big")  # SETTINGS_INITIAL_WINDOW_SIZE
        self._out += [_PREFACE, _frame(_SETTINGS, 0, 0, settings), _frame(_WINDOW, 0, 0, _OURS.to_bytes(4, "big"))]
        for _ in range(self._callers):
            self._ask()
        self._write()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.over.is_set():
            self._counts["broken"] += len(self._answers) + 1
            self.over.set()

    def close(self) -> None:
        """Ask no more; `over` is set when the last has been answered."""
        self._open = False
        if not self._answers:
            self.over.set()

    def data_received(self, data: bytes) -> None:
        seen = self._seen + data if self._seen else data
        at, end = 0, len(seen)
        while end - at >= 9:
            after = at + 9 + int.from_bytes(seen[at : at + 3], "big")
            if after > end:
                break
            stream = int.from_bytes(seen[at + 5 : at + 9], "big") & 0x7FFFFFFF
            self._take(seen[at + 3], seen[at + 4], stream, seen[at + 9 : after])
            at = after
        self._seen = seen[at:]
        self._write()

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == _DATA:
            self._taken += len(payload)
            self._answers[stream] += payload
            if self._taken > _OURS // 2:
                self._out.append(_frame(_WINDOW, 0, 0, self._taken.to_bytes(4, "big")))
                self._taken = 0
        elif kind == _WINDOW and not stream:
            self._window += int.from_bytes(payload, "big")
            waiting, self._waiting = self._waiting, 0
            for _ in range(waiting):
                self._ask()
        elif kind in (_SETTINGS, _PING) and not flags & _ACK:
            self._out.append(_frame(kind, _ACK, 0, payload if kind == _PING else b""))
        elif kind == _GOAWAY:
            self._transport.close()
        if kind == _RESET or (kind in (_DATA, _HEADERS) and flags & _END_STREAM):
            self._answered(self._answers.pop(stream))

    def _answered(self, answer: bytes) -> None:
        allowed = bool(answer) and external_auth_pb2.CheckResponse.FromString(answer[5:]).HasField("ok_response")
        self._counts["answers" if allowed else "wrong"] += 1
        if self._open:
            self._ask()
        elif not self._answers:
            self.over.set()

    def _ask(self) -> None:
        if self._window < len(self._message):
            self._waiting += 1
            return
        self._window -= len(self._message)
        stream, self._stream = self._stream, self._stream + 2
        self._answers[stream] = b""
        self._out.append(_frame(_HEADERS, _END_HEADERS, stream, self._head))
        self._out.append(_frame(_DATA, _END_STREAM, stream, self._message))

    def _write(self) -> None:
        if self._out:
            self._transport.write(b"".join(self._out))
            self._out.clear()


async def drive(plan: Plan) -> dict[str, float]:
    """Until the time is up and what was asked is answered."""
    loop = asyncio.get_running_loop()
    counts: Counter[str] = Counter()
    started, used = time.perf_counter(), time.process_time()
    connections = []
    for target in plan.targets:
        host, _, port = target.rpartition(":")
        _, connection = await loop.create_connection(lambda: Connection(plan, counts), host, int(port))
        connections.append(connection)
    await asyncio.sleep(plan.seconds)
    for connection in connections:
        connection.close()
    async with asyncio.timeout(_PATIENCE):
        await asyncio.gather(*(connection.over.wait() for connection in connections))
    result = {"wall": time.perf_counter() - started, "cpu": time.process_time() - used}
    return {"answers": 0.0, "wrong": 0.0, "broken": 0.0, **counts, **result}


if __name__ == "__main__":
    print(json.dumps(uvloop.run(drive(Plan(**json.load(sys.stdin))))))
