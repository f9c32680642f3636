"""The request half of an exchange: whether the model has it, and whether it asks for a usage that only we want."""

from __future__ import annotations

from tidegate.envoy.commands import Body, Command, Forward, RequestBody, RequestHead
from tidegate.errors import ProtocolViolation
from tidegate.usage.stream_options import Asked, ask_for_usage
from tidegate.usage.unasked import WholeEvents, WithoutUsage


class Asking:
    """One request: `head`, and `body` where that says that one follows. Neither comes where Envoy sends no requests.

    `forwarded` tells whether nothing of it is kept from the model any more, `readable` whether its body can be read.
    """

    def __init__(self) -> None:
        self.forwarded = True
        self.readable = False
        self._may_ask = False
        self._asked: Asked | None = None

    def head(self, head: RequestHead, *, counted: bool) -> list[Command]:
        """The headers; `counted` tells whether anybody wants to know a usage."""
        self.forwarded = not head.body
        self.readable = not head.encoded
        self._may_ask = counted and head.may_ask
        return [Forward()]

    def body(self, data: bytes) -> list[Command]:
        """The whole body."""
        if self.forwarded:
            raise ProtocolViolation("a request body came before its headers, or twice")
        self.forwarded = True
        self._asked = ask_for_usage(data) if self._may_ask else None
        return [RequestBody(None if self._asked is None else self._asked.body)]

    def unasked(self) -> WithoutUsage | None:
        """What takes the answer out of an event stream, None where its client may see all of it."""
        return None if self._asked is None else WithoutUsage(continuous=self._asked.continuous)


def in_whole(events: WholeEvents, commands: list[Command]) -> list[Command]:
    """The same with what `events` lets out of each body."""
    whole: list[Command] = []
    for command in commands:
        if not isinstance(command, Body):
            whole.append(command)
        elif (data := events.feed(command.data) + (events.finish() if command.end else b"")) or command.end:
            whole.append(Body(data, command.end))
    return whole
