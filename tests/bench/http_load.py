"""A load generator for HTTP/1.1, run as a process of its own: it sends one request again and again, and reads answers.

Usage: python -m tests.bench.http_load < plan.json, see `Plan`. Prints one JSON object, see `Load.result`.

RATE 0 is a closed loop: each connection asks again when it is answered. Else it is an open one: requests come at random
(Poisson), RATE a second, whether or not the earlier ones were answered, each on a connection that is free, or a new
one. Latency counts from when a request was due, so that a generator, or a server, that falls behind does not hide it.

Every answer is read to its end, and right when it says what `content` is; an answer that was seen before is compared
by its bytes.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import uvloop

_MAX_SEEN = 1024
_PATIENCE = 30.0


@dataclass(frozen=True)
class Plan:
    """`connections` of the closed loop; `content` is what a completion must say. Seconds, and requests a second."""

    port: int
    request: str
    content: str
    connections: int
    seconds: float
    rate: float = 0.0


class Load:
    """One run."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.request = plan.request.encode()
        self.latencies: list[float] = []
        self.late: list[float] = []
        self.wrong: Counter[str] = Counter()
        self.idle: list[_Connection] = []
        self.open = True
        self.running = 0
        self._new: set[asyncio.Future[None]] = set()
        self._due = 0.0
        self._rng = random.Random(1)
        self._right: set[bytes] = set()
        self._over = asyncio.Event()

    async def run(self) -> None:
        """Until the time is up and what was sent is answered. What is not, half a minute later, is wrong."""
        loop = asyncio.get_running_loop()
        plan = self.plan
        self.idle += await asyncio.gather(*(self._connect() for _ in range(plan.connections)))
        self._due = time.perf_counter()
        loop.call_later(plan.seconds, self._end)
        if plan.rate:
            # The loop's own timers tick in milliseconds.
            loop.add_signal_handler(signal.SIGALRM, self._arrive)
            self._arrive()
        else:
            while self.idle:
                self.send(self.idle.pop(), time.perf_counter())
        try:
            await asyncio.wait_for(self._over.wait(), plan.seconds + _PATIENCE)
        except TimeoutError:
            self.wrong["unanswered"] += self.running

    def result(self, wall: float, cpu: float) -> dict[str, Any]:
        """`late` is how much later than due the generator itself sent, p99. Seconds, but for counts."""
        latencies, late = sorted(self.latencies), sorted(self.late)
        return {
            "answers": len(latencies),
            "wrong": dict(self.wrong),
            "wall": wall,
            "cpu": cpu,
            "p50": _quantile(latencies, 50),
            "p99": _quantile(latencies, 99),
            "late": _quantile(late, 99),
        }

    def send(self, connection: _Connection, due: float) -> None:
        self.running += 1
        connection.ask(self.request, due)

    def answered(self, connection: _Connection, due: float, head: bytes, body: bytes) -> None:
        now = time.perf_counter()
        self.latencies.append(now - due)
        self.running -= 1
        if not head.startswith(b"HTTP/1.1 200"):
            self.wrong[head[9:12].decode("latin-1")] += 1
        elif body not in self._right:
            self._read(body, chunked=b"chunked" in head)
        if not self.open:
            self._end()
        elif self.plan.rate:
            self.idle.append(connection)
        else:
            self.send(connection, now)

    def lost(self, connection: _Connection, *, waited: bool) -> None:
        if waited:
            self._gone("connection lost")
            if self.open and not self.plan.rate:  # the caller asks again
                self.running += 1
                self._anew(time.perf_counter())
        elif connection in self.idle:
            self.idle.remove(connection)

    def _read(self, body: bytes, *, chunked: bool) -> None:
        try:
            said = _said(_dechunked(body) if chunked else body)
        except (ValueError, LookupError, TypeError):
            said = ""
        if said != self.plan.content:
            self.wrong["content"] += 1
        elif len(self._right) < _MAX_SEEN:
            self._right.add(body)

    def _arrive(self) -> None:
        now = time.perf_counter()
        while self.open and self._due <= now:
            self.late.append(now - self._due)
            if self.idle:
                self.send(self.idle.pop(), self._due)
            else:
                self.running += 1
                self._anew(self._due)
            self._due += self._rng.expovariate(self.plan.rate)
            now = time.perf_counter()
        if self.open:
            signal.setitimer(signal.ITIMER_REAL, self._due - now)

    def _anew(self, due: float) -> None:
        self._new.add(task := asyncio.ensure_future(self._ask_anew(due)))
        task.add_done_callback(self._new.discard)

    async def _ask_anew(self, due: float) -> None:
        try:
            connection = await self._connect()
        except OSError:
            self._gone("no connection")
        else:
            connection.ask(self.request, due)

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: _Connection(self), "127.0.0.1", self.plan.port)
        return connection

    def _gone(self, why: str) -> None:
        self.running -= 1
        self.wrong[why] += 1
        if not self.open:
            self._end()

    def _end(self) -> None:
        self.open = False
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        if not self.running:
            self._over.set()


class _Connection(asyncio.Protocol):
    _transport: Any

    def __init__(self, load: Load) -> None:
        self._load = load
        self._seen = b""
        self._due = 0.0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._load.lost(self, waited=bool(self._due))

    def ask(self, request: bytes, due: float) -> None:
        self._due = due
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        seen = self._seen = self._seen + data if self._seen else data
        end = seen.find(b"\r\n\r\n") + 4
        if end < 4:
            return
        head = seen[:end].lower()
        at = head.find(b"content-length:")
        if at >= 0:
            whole = len(seen) >= end + int(head[at + 15 : head.find(b"\r", at)])
        else:
            whole = seen.endswith(b"\r\n0\r\n\r\n")
        if whole:
            due, self._due, self._seen = self._due, 0.0, b""
            self._load.answered(self, due, seen[:end], seen[end:])


def _dechunked(body: bytes) -> bytes:
    out = []
    at = 0
    while True:
        end = body.index(b"\r\n", at)
        size = int(body[at:end], 16)
        if not size:
            return b"".join(out)
        out.append(body[end + 2 : end + 2 + size])
        at = end + 4 + size


def _said(body: bytes) -> str:
    if not body.startswith(b"data:"):
        content: str = json.loads(body)["choices"][0]["message"]["content"]
        return content
    *events, last = [line.removeprefix(b"data:").strip() for line in body.splitlines() if line.startswith(b"data:")]
    if last != b"[DONE]":
        raise ValueError("a stream without its end")
    choices = [json.loads(event)["choices"][0] for event in events]
    return "".join([choice["delta"].get("content") or "" for choice in choices])


def _quantile(values: list[float], percent: int) -> float:
    return values[len(values) * percent // 100] if values else 0.0


def main() -> None:
    """Carry out the plan on stdin."""
    load = Load(Plan(**json.load(sys.stdin)))

    async def run() -> tuple[float, float]:
        started, used = time.perf_counter(), time.process_time()
        await load.run()
        return time.perf_counter() - started, time.process_time() - used

    print(json.dumps(load.result(*uvloop.run(run()))))


if __name__ == "__main__":
    main()
