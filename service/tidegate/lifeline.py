"""The line between a supervisor and one worker: a socket pair, of which each holds one end.

A worker's event loop says every second that it turns. A supervisor that has ended, however it did, needs to say
nothing: its end is held by no other process, so the kernel closes the line.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Final

BEAT: Final = 1.0  # seconds


class Lifeline:
    """The worker's end. `fd` is the descriptor that it was started with, which no process of its own inherits."""

    def __init__(self, fd: int) -> None:
        self._line = socket.socket(fileno=fd)
        self._line.set_inheritable(False)
        self._line.setblocking(False)

    def hold(self, gone: Callable[[], None]) -> None:
        """Have `gone` called once the supervisor has ended. Needs a running event loop."""
        loop = asyncio.get_running_loop()

        def ended() -> None:
            loop.remove_reader(self._line.fileno())
            gone()

        loop.add_reader(self._line.fileno(), ended)

    def beat(self) -> None:
        """Say that the loop turns, now and every second from now on; the first time, that calls are taken."""
        with contextlib.suppress(OSError):  # the supervisor is gone, or stopped for so long that the line is full
            self._line.send(b".")
        asyncio.get_running_loop().call_later(BEAT, self.beat)


def follow(line: socket.socket, heard: Callable[[], None]) -> None:
    """Have `heard` called when something is heard of the worker at the other end of `line`, until it has ended."""
    loop = asyncio.get_running_loop()

    def readable() -> None:
        try:
            said = line.recv(4096)
        except ConnectionError:
            said = b""
        if said:
            heard()
        else:
            loop.remove_reader(line.fileno())
            line.close()

    line.setblocking(False)
    loop.add_reader(line.fileno(), readable)
