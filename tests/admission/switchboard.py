"""A store that is out when a test says so, under the ledger that stands in for it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from tidegate.admission.denials import Denials
from tidegate.admission.ledger import Extension
from tidegate.admission.memory import MemoryLedger
from tidegate.admission.outage import OnOutage, OutageLedger, State
from tidegate.model import Admission, Charge, LimitState

from tests.admission.world import HandClock, limit

DAY = 86_400.0
BUCKET = limit("token_bucket", 10, refill=10, period=DAY, name="bucket")
WINDOW = limit("sliding_window", 10, period=DAY, name="window")
BOTH = [Charge(BUCKET, "k"), Charge(WINDOW, "k")]
SUMS = [
    Charge(limit("sliding_window_counter", 10, period=DAY, name="counter"), "k"),
    Charge(limit("quota", 10, name="quota", resets="day"), "k"),
]


class Switchboard:
    """A store that does as it is told, in place of Redis: what is tested is who asks it what, and when."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.refused: LimitState | None = None
        self.asked = 0
        self.entered: list[Charge] = []
        self.names: list[str] = []
        self.settled: dict[str, Mapping[str, int]] = {}
        self.entry_errors: list[Exception] = []
        self.gate: asyncio.Event | None = None

    async def reserve(self, charges: Sequence[Charge], *, hold: float | None = None) -> Admission:
        self.asked += 1
        if self.error is not None:
            raise self.error
        if self.refused is not None:
            return Admission((self.refused,), self.refused)
        return Admission((), reservation="r1" if hold else "")

    async def settle(self, reservation: str, costs: Mapping[str, int]) -> bool:
        if self.error is not None:
            raise self.error
        self.settled[reservation] = costs
        return True

    async def extend(self, reservation: str, costs: Mapping[str, int], *, hold: float) -> Extension:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return "refused"

    async def enter(self, charges: Sequence[Charge], *, once: str, keep: float) -> bool:
        if self.error is not None:
            raise self.error
        self.names.append(once)
        if self.gate is not None:
            await self.gate.wait()
        if self.entry_errors:
            raise self.entry_errors.pop(0)
        self.entered += charges
        return True

    async def ready(self) -> bool:
        return self.error is None

    async def close(self) -> None:
        pass


class Probes:
    """Sleeping until the test says so."""

    def __init__(self) -> None:
        self.due = asyncio.Event()
        self.sleeping = 0

    async def sleep(self, _seconds: float) -> None:
        self.sleeping += 1
        await self.due.wait()
        self.due.clear()
        self.sleeping -= 1


class Desk:
    def __init__(self, replicas: int = 1, failures: int = 3) -> None:
        self.store = Switchboard()
        self.clock = HandClock()
        self.probes = Probes()
        self.rule: OnOutage = "share"
        self.replicas = replicas
        self.states: list[State] = []
        self.ledger = OutageLedger(
            self.store,  # type: ignore[arg-type]
            MemoryLedger(self.clock),
            denials=Denials(self.clock),
            replicas=lambda: self.replicas,
            on_outage=lambda: self.rule,
            failures=failures,
            on_state=self.states.append,
            sleep=self.probes.sleep,
        )

    async def probe(self) -> None:
        """Let one probe run to its end."""
        self.probes.due.set()
        for _ in range(20):
            await asyncio.sleep(0)
