"""What one response cost, whatever became of it: the meter beside an exchange, and the rules for every ending.

- read to its end, blocked, or cut off while it ran: what its usage says, else its text as far as it was seen;
- withheld before any of it left, hence before any of it was read: the prompt, and no completion;
- an answer of Envoy's own (no upstream, timeout): nothing, for no model answered; the request still counts as one;
- an error of the model's (status >= 400) without a usage: its bytes, and no tokens or money;
- a body that no format reads (an image, a compressed one, 101, 206): what was reserved stands;
- where no limit is priced, only leases are held: they end, and nothing is read to count it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from tidegate.envoy.handoff import Handoff
from tidegate.filtering.formats import Listening, listen
from tidegate.usage.costs import MAX_UNITS, Costs
from tidegate.usage.meter import Meter
from tidegate.usage.price import money_of

_NO_TOKENS: Final = MappingProxyType({"prompt_tokens": 0, "completion_tokens": 0, "tokens": 0, "money": 0})
_NOTHING: Final[Mapping[str, int]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Settlement:
    """Actual costs by unit for one reservation; `lies` figures of the response's usage were not believed."""

    reservation: str
    costs: Mapping[str, int]
    lies: int = 0


class Metering:
    """One response with a reservation. `meter` is to be shown what is read of it, where it is `priced`."""

    def __init__(self, handoff: Handoff, status: int) -> None:
        self.meter = Meter()
        self.priced = handoff.prompt_tokens > 0
        self._handoff = handoff
        self._status = status
        self._listening: Listening | None = None
        self._held = 0
        self._costs: Mapping[str, int] | None = None if self.priced else _NOTHING

    def never_ran(self) -> None:
        """No model answered."""
        self._costs = {**_NO_TOKENS, "request_bytes": 0}

    def listen(self, content_type: str) -> None:
        """The body passes; read it beside. "" when nothing can."""
        if not self.priced:
            return
        self._listening = listen(content_type, self.meter, max_bytes=self._handoff.max_response)
        if self._listening is None:
            self._costs = _NOTHING

    def hear(self, data: bytes, *, end: bool) -> None:
        """Bytes of a body that passes."""
        if self._listening is not None:
            self._listening.feed(data)
            if end:
                self._listening.finish()

    def hold(self, size: int) -> None:
        """`size` bytes came of a body that is only read at its end."""
        self._held += size

    def cut_off(self) -> None:
        """The client or the model is gone before the end."""
        if self._listening is not None:
            self._listening.finish(whole=False)
        self.meter.unread(self._held)

    def settlement(self) -> Settlement:
        """What it cost."""
        costs = self._costs
        if costs is None and self._status >= 400 and not self.meter.told:
            costs = _NO_TOKENS
        if costs is None:
            actual = self.meter.costs(self._handoff.prompt_tokens)
            costs = {
                "prompt_tokens": actual.prompt_tokens,
                "completion_tokens": actual.completion_tokens,
                "tokens": actual.tokens,
                **self._money(actual),
            }
        return Settlement(self._handoff.reservation, costs, self.meter.lies)

    def _money(self, actual: Costs) -> Mapping[str, int]:
        """What that costs at the price of the decision, whatever a reload has made of it since."""
        if self._handoff.price is None:
            return {}
        money = money_of(actual, self._handoff.price)
        self.meter.lies += money > MAX_UNITS  # no usage costs that much
        return {"money": min(MAX_UNITS, money)}
