"""What is agreed with the queue: how much an endpoint can carry, who asks for a place in it, and what is answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

Priority = Literal["critical", "standard", "sheddable"]
RANK: Final = {"critical": 0, "standard": 1, "sheddable": 2}
"""The order of service, best first."""
MAX_QUEUE: Final = 512
MAX_WAIT: Final = 1.0
"""No exchange waits longer, seconds: half of the 2 s that `tidegate envoy-config` gives a Check, the rest is for the
limits, and for a store that goes out meanwhile."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """What an endpoint carries: `concurrent` exchanges over all replicas, `reserve` of them critical ones only.

    At most `queue` wait, each for `max_wait` seconds. A place lapses `lease` seconds after its last sign of life.
    `cost` is what the shares of tenants are measured in. 0 <= `reserve` < `concurrent`.
    """

    concurrent: int
    queue: int = 128
    max_wait: float = 0.15
    lease: float = 60.0
    reserve: int = 0
    cost: Literal["tokens", "requests"] = "tokens"


class Demand(NamedTuple):
    """Who asks for a place: `cost` (>= 1, in the unit of the capacity) at `weight` (>= 1) within its priority."""

    tenant: str
    priority: Priority
    weight: int
    cost: int


class Place(NamedTuple):
    """A place that was granted. `ticket` renews and gives it back; "" when nothing is held."""

    endpoint: str
    ticket: str


class Overload(NamedTuple):
    """A refusal: the queue was full and this was the last in it, or the wait was over.

    full: refused as it came; shed: pushed out by a better one; late: waited in vain. `retry_after` is an estimate,
    seconds, at least 1.
    """

    why: Literal["full", "shed", "late"]
    retry_after: float


class Ticket(NamedTuple):
    """What a ticket says of itself: `where` it was granted, to which class, and for how many seconds.

    `where` is "r" for Redis, and "m" and a name for the memory of the process of that name.
    """

    where: str
    rank: int
    lease: float

    def text(self, token: str) -> str:
        """The ticket, unique by `token`."""
        return f"{self.where}.{self.rank}{round(self.lease * 1000)}.{token}"

    @classmethod
    def parse(cls, ticket: str) -> Ticket:
        """Raises ValueError for what is no ticket."""
        where, _, rest = ticket.partition(".")
        numbers, _, token = rest.partition(".")
        rank, milliseconds = numbers[:1], numbers[1:16]
        numeric = numbers.isascii() and numbers.isdigit() and len(numbers) <= 16
        if not (token and numeric and where[:1] in ("m", "r") and rank <= "2" and milliseconds.strip("0")):
            raise ValueError("not a ticket")
        return cls(where, int(rank), int(milliseconds) / 1000)
