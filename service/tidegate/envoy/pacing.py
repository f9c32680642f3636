"""A stream no faster than its reservation: an event or a line whose text costs more than is held waits for more."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

from tidegate.envoy.allowance import Allowance, Answer
from tidegate.envoy.commands import Abort, Body, Command, Extend
from tidegate.envoy.metering import Metering

Take = Callable[[bytes, bool], list[Command]]
Stop = Callable[[tuple[str, ...]], list[Command]]

# Where to cut decides nothing but how much waits together.
AFTER_EVENT: Final = re.compile(rb"(?<=\n\n)|(?<=\r\r)|(?<=\n\r\n)")
AFTER_LINE: Final = re.compile(rb"(?<=\n)")


class Pacing:
    """The body of one stream, an event at a time: `after` matches where one is over.

    `take` carries a piece of it on and says what may leave; `stop` ends it where more is refused. The end of the body
    never waits: nothing is saved by stopping a stream that is over. Both are given with each call, not kept: they are
    the exchange's, which would wait for the collector then.
    """

    def __init__(self, metering: Metering, *, after: re.Pattern[bytes] = AFTER_EVENT) -> None:
        self._metering = metering
        self._allowance = Allowance(metering.hold)
        self._after = after
        self._waiting: deque[bytes] = deque()
        self._end = False
        self._withheld: list[Command] = []

    def body(self, data: bytes, end: bool, take: Take) -> list[Command]:
        """Take a chunk; `Extend` comes last where what follows has to wait for the answer."""
        rest = data.lstrip(b"\r\n")  # line ends at the start are those of an event that came before
        self._waiting.extend(filter(None, (data[: len(data) - len(rest)], *self._after.split(rest))))
        self._end = end
        return self._go_on([], take)

    @property
    def held(self) -> Mapping[str, int]:
        """What the reservation holds now, by unit."""
        return self._allowance.held

    @property
    def waiting(self) -> int:
        """Bytes that were taken and not looked at yet."""
        return sum(map(len, self._waiting))

    def extended(self, answer: Answer, take: Take, stop: Stop) -> list[Command]:
        """What came of `Extend`."""
        withheld, self._withheld = self._withheld, []
        verdict = self._allowance.answered(answer)
        if verdict == "go":
            return self._go_on(withheld, take)
        if verdict == "stop":
            self._waiting.clear()
            return stop(self._allowance.limits)
        self._withheld = withheld
        return [Extend(self._metering.reservation, verdict, self._metering.hold.seconds)]

    def _go_on(self, out: list[Command], take: Take) -> list[Command]:
        while self._waiting:
            before = self._metering.meter.written
            step = take(self._waiting.popleft(), False)
            if self._metering.meter.written > before and not _ends(step):
                demand = self._allowance.demand(self._metering.costs())
                if demand is not None:
                    self._withheld = step
                    return [*_joined(out), Extend(self._metering.reservation, demand, self._metering.hold.seconds)]
            out += step
        return _joined(out + (take(b"", True) if self._end else []))


def _ends(commands: list[Command]) -> bool:
    return any(isinstance(command, Abort) or (isinstance(command, Body) and command.end) for command in commands)


def _joined(commands: list[Command]) -> list[Command]:
    """The same with one `Body` for several in a row."""
    joined: list[Command] = []
    for command in commands:
        last = joined[-1] if joined else None
        if isinstance(command, Body) and isinstance(last, Body):
            joined[-1] = Body(last.data + command.data, command.end)
        else:
            joined.append(command)
    return joined
