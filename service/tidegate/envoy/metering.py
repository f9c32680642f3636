"""What one exchange cost, whatever became of it: the meter beside a response, and the rules for every ending.

- read to its end, blocked, or cut off while it ran: what its usage says, else its text as far as it was seen;
- withheld before any of it left, hence before any of it was read: the prompt, and no completion;
- the client left before the response began: the same, for the model may have read it;
- an answer of Envoy's own (no upstream, timeout): nothing, for no model answered; the request still counts as one;
- an error of the model's (status >= 400) without a usage: its bytes, and no tokens or money;
- a body that no format reads (an image, 101, 206), or a compressed one without rules for it: what was reserved stands;
- where no limit is priced, only leases are held: they end, and nothing is read to count it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from tidegate.envoy.handoff import Handoff
from tidegate.filtering.formats import Listening, listen
from tidegate.usage.costs import MAX_UNITS
from tidegate.usage.meter import Meter
from tidegate.usage.price import money_of

_NO_TOKENS: Final = MappingProxyType({"prompt_tokens": 0, "completion_tokens": 0, "tokens": 0, "money": 0})
_NOTHING: Final[Mapping[str, int]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Settlement:
    """Actual costs by unit for one reservation; `lies` figures of the response's usage were not believed.

    `over` is by how much they are more than was held, by unit.
    """

    reservation: str
    costs: Mapping[str, int]
    lies: int = 0
    over: tuple[tuple[str, int], ...] = ()


class Metering:
    """One exchange with a reservation. `meter` is to be shown what is read of its response, where that is counted."""

    def __init__(self, handoff: Handoff) -> None:
        self.meter = Meter()
        self.hold = handoff.hold
        self.reservation = handoff.reservation
        self._prompt = handoff.prompt_tokens
        self._price = handoff.price
        self._too_dear = False
        self._max_bytes = handoff.max_response
        self._status = 0
        self._listening: Listening | None = None
        self._unread = 0
        self._settled: Mapping[str, int] | None = None if handoff.hold.amounts else _NOTHING

    def answered(self, status: int) -> None:
        """The response begins."""
        self._status = status

    def never_ran(self) -> None:
        """No model answered."""
        self._settled = {**_NO_TOKENS, "request_bytes": 0}

    def listen(self, content_type: str) -> None:
        """The body passes; read it beside. "" when nothing can."""
        if not self.hold.amounts:
            return
        self._listening = listen(content_type, self.meter, max_bytes=self._max_bytes)
        if self._listening is None:
            self._settled = _NOTHING

    def hear(self, data: bytes, *, end: bool) -> None:
        """Bytes of a body that passes."""
        if self._listening is not None:
            self._listening.feed(data)
            if end:
                self._listening.finish()

    def buffered(self, size: int) -> None:
        """`size` bytes came of a body that is only read at its end."""
        self._unread += size

    def cut_off(self) -> None:
        """The client or the model is gone before the end."""
        if self._listening is not None:
            self._listening.finish(whole=False)
        self.meter.unread(self._unread)

    def costs(self) -> Mapping[str, int]:
        """What it has cost so far, by unit; money at the price of the decision, whatever a reload has made of it."""
        actual = self.meter.costs(self._prompt)
        money = 0 if self._price is None else money_of(actual, self._price)
        self._too_dear = money > MAX_UNITS  # no usage costs that much
        return {
            "prompt_tokens": actual.prompt_tokens,
            "completion_tokens": actual.completion_tokens,
            "tokens": actual.tokens,
            **({} if self._price is None else {"money": min(MAX_UNITS, money)}),
        }

    def stopped(self, code: str, message: str) -> bytes:
        """How an event stream that passes says that it ends early, b"" for any other body."""
        return b"" if self._listening is None else self._listening.abort(code, message)

    def settlement(self, held: Mapping[str, int]) -> Settlement:
        """What it cost, where so much was held in the end."""
        costs = self._settled
        if costs is None and self._status >= 400 and not self.meter.told:
            costs = _NO_TOKENS
        costs = self.costs() if costs is None else costs
        over = tuple([(unit, costs[unit] - held[unit]) for unit in held if costs.get(unit, 0) > held[unit]])
        return Settlement(self.reservation, costs, self.meter.lies + self._too_dear, over)
