"""A stream that asks for more as it runs, and a limit with so much left."""

from __future__ import annotations

import json
from typing import Any

from tidegate.envoy.allowance import Answer
from tidegate.envoy.commands import Abort, Body, Command, Extend, Reply
from tidegate.envoy.exchange import Exchange
from tidegate.model import Hold

from tests.envoy.priced import HELD, SSE, event
from tests.envoy.world import head

PROMPT = 100
DONE = b"data: [DONE]\n\n"


def handoff(reserved: int, *limits: str) -> Any:
    return HELD._replace(hold=Hold(600.0, (("tokens", PROMPT + reserved),), limits or ("tpm",)))


class Room:
    """A limit with so much left beside what is reserved."""

    def __init__(self, left: int = 0, answers: Answer | None = None) -> None:
        self.left = left
        self.answers = answers
        self.asked: list[int] = []

    def extend(self, demand: Extend) -> Answer:
        (units,) = demand.costs.values()
        self.asked.append(units)
        if self.answers is not None:
            return self.answers
        if units > self.left:
            return "refused"
        self.left -= units
        return "extended"


def play(subject: Exchange, parts: list[bytes], room: Room, *, end: bool = True, **changes: Any) -> list[Command]:
    """Everything that is sent, in order."""
    sent = subject.head(head(**{"handoff": handoff(0), **SSE, **changes}))
    for data, last in [*((part, False) for part in parts), *([(b"", True)] if end else [])]:
        commands = subject.body(data, last)
        while commands and isinstance(commands[-1], Extend):
            assert commands[-1].reservation == "res-1"
            sent += commands[:-1]
            commands = subject.extended(room.extend(commands[-1]))
        sent += commands
    return sent


def texts(count: int, size: int = 40) -> list[bytes]:
    """Events of `size` ÷ 4 tokens each."""
    return [event("x" * (size - 1) + " ") for _ in range(count)]


def endings(sent: list[Command]) -> list[Command]:
    return [c for c in sent if isinstance(c, Reply | Abort) or (isinstance(c, Body) and c.end)]


def error_of(out: bytes) -> dict[str, Any]:
    assert out.endswith(DONE)
    error: dict[str, Any] = json.loads(out.removesuffix(DONE).rpartition(b"data: ")[2])["error"]
    return error
