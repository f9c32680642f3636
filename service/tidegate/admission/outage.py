"""What happens to limits while the store is out.

A breaker stands before the store. It opens at the first call that the store does not answer in time, and after a few
failures in a row, or one that cannot be made up for at once; from then on nobody waits for the store, and a probe looks
for it in the background. The call that met the failure gets the answer of an outage, not an error.

While it is open the policy says what happens. **share**: this replica enforces its part of each limit from memory:
capacity ÷ live replicas, rounded down, at least 1, and the refill slowed by the same factor, exactly. **deny**: every
decision raises `StoreUnavailable`. **allow**: everything passes, and is counted.

When the store is back, what still counts in memory is entered there, over the limit if need be (see `owed`), and
settlements that met the outage are made up for.
Leases stay where they were taken: those of memory end there, and those of the store lapse unless they are renewed or
settled in time after it.

A store that answers, but fails at one decision again and again (a key of another type, a clock that is wrong by more
than a period) has no outage. Memory counts such decisions by the same rule, and keeps the count to itself.

What this cannot do: at the switch, memory does not know what the store had counted, so one window may let pass the
limit once by the store and once by the shares. Where a limit is smaller than the number of replicas, the shares of 1
add up to more than it. A call that timed out may have been charged in the store too. Entered sliding windows count
from the moment of entry, so up to a window too long. What took its place in memory is not known to the store, nor the
other way round, so after either switch as many as the limit may run by the one and as many by the other, until the
first have ended. An outage that a replica does not survive loses its counts. A reservation made during an outage and
settled after it, or by another replica, keeps its reserved cost where it was less in the end; what it cost more is
entered (see `carried`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from math import inf
from typing import Literal

from tidegate.admission.carried import beyond, carried, carry
from tidegate.admission.denials import Denials
from tidegate.admission.heartbeats import Heartbeats
from tidegate.admission.ledger import Extension, Store
from tidegate.admission.memory import MemoryLedger
from tidegate.admission.owed import Owed
from tidegate.admission.scripts import ScriptFailed, SlotMoving, StoreTimedOut
from tidegate.errors import StoreUnavailable
from tidegate.model import Admission, Charge, Limit, LimitState

State = Literal["closed", "open", "half_open"]
OnOutage = Literal["share", "deny", "allow"]

_SHARES = 100_000


class OutageLedger:
    """A `Ledger` that answers from `store`, and by the policy's rule from `memory` while the store is out.

    `replicas` and `on_outage` are asked at every decision of an outage. The breaker opens after `failures` in a row,
    and looks for the store every `probe_every` seconds. `on_state` is told of every change of `state`. `Heartbeats`
    are closed with the ledger. `denials` spare the store what it refused a moment ago; they say nothing of an outage.
    """

    def __init__(
        self,
        store: Store,
        memory: MemoryLedger,
        *,
        denials: Denials | None = None,
        replicas: Heartbeats | Callable[[], int] = lambda: 1,
        on_outage: Callable[[], OnOutage] = lambda: "share",
        failures: int = 3,
        probe_every: float = 0.5,
        on_state: Callable[[State], None] = lambda _: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._memory = memory
        self._replicas = replicas
        self._denials = denials
        self._on_outage = on_outage
        self._max_failures = failures
        self._probe_every = probe_every
        self._on_state = on_state
        self._sleep = sleep
        self._state: State = "closed"
        self._failures = 0
        self._shares: dict[int, tuple[Limit, int, Limit]] = {}
        self._owed = Owed(store)
        self._background: asyncio.Task[None] | None = None
        self._stood_in = False  # for a store that was out, since memory was last handed over
        self._closed = False

    @property
    def state(self) -> State:
        """The breaker: "closed" while the store counts, "open" while it is out, "half_open" while a probe looks."""
        return self._state

    @property
    def idle(self) -> bool:
        """Whether the store is not out and is owed nothing, and nothing is counted in its place."""
        owing = self._background is not None and not self._background.done()
        return self._state == "closed" and not owing and not len(self._memory)

    def live(self) -> int:
        """How many replicas share what there is, this one included."""
        return max(1, self._replicas())

    async def reserve(self, charges: Sequence[Charge], *, hold: float | None = None) -> Admission:
        """Take every charge or none. In an outage "deny" raises `StoreUnavailable`, and so does a full memory."""
        if self._state != "closed":
            self._stood_in = True
            return self._stand_in(charges, hold)
        asked = 0.0
        if self._denials is not None:
            asked = self._denials.now()
            if (known := self._denials.refusal(charges, asked)) is not None:
                return known
        try:
            admission = await self._store.reserve(charges, hold=hold)
        except StoreUnavailable as error:
            self._failed(error)
            self._stood_in = self._stood_in or not isinstance(error, ScriptFailed)
            return self._stand_in(charges, hold)
        self._failures = 0
        if admission.refused is not None and self._denials is not None:
            self._denials.remember(charges, admission, asked)
        return admission

    async def settle(self, reservation: str, costs: Mapping[str, int]) -> bool:
        """Replace reserved costs by actual ones, once. In an outage, True says that it will be."""
        if reservation.startswith("m"):
            return await self._settle_memory(reservation, costs)
        if self._state == "closed":
            try:
                return await self._store.settle(reservation, costs)
            except StoreUnavailable as error:
                self._failed(error)
        first = self._owed.settle(reservation, costs)
        self._look_for_store()
        return first

    async def extend(self, reservation: str, costs: Mapping[str, int], *, hold: float) -> Extension:
        """Add to reserved costs and renew. What the store holds is "extended" while it is out: nobody's stream is cut.

        The store does not learn of it: the settlement is what makes up for it.
        """
        if reservation.startswith("m"):
            return await self._memory.extend(carried(reservation)[0], costs, hold=hold)
        if self._state == "closed":
            try:
                return await self._store.extend(reservation, costs, hold=hold)
            except StoreUnavailable as error:
                self._failed(error)
        self._look_for_store()
        return "extended"

    async def ready(self) -> bool:
        """Whether the store answers now."""
        return self._state == "closed" and await self._store.ready()

    async def close(self) -> None:
        """Stop looking for the store and close it. What it is still owed is lost."""
        self._closed = True
        if isinstance(self._replicas, Heartbeats):
            await self._replicas.close()
        if self._background is not None:
            self._background.cancel()
            await asyncio.wait([self._background])
        await self._store.close()
        await self._memory.close()

    # The answer of an outage ---------------------------------------------------------------------------------------

    def _stand_in(self, charges: Sequence[Charge], hold: float | None) -> Admission:
        self._look_for_store()
        rule = self._on_outage()
        if rule == "deny":
            raise StoreUnavailable("the limit store is out, and the policy says to deny")
        replicas = max(1, self._replicas())
        shares = [Charge(self._share(charge.limit, replicas), charge.key, charge.cost) for charge in charges]
        if rule == "allow":
            try:
                reservation = self._memory.take(shares, hold=hold, force=True).reservation
            except StoreUnavailable:  # memory is full: allowed all the same, but not counted
                reservation = ""
            return Admission((), reservation=carry(reservation, charges) if reservation else "", enforcement="none")
        admission = self._memory.take(shares, hold=hold)
        if admission.reservation:
            left_out = {(state.limit.scope, state.limit.name) for state in admission.shadowed}
            taken = [charge for charge in charges if (charge.limit.scope, charge.limit.name) not in left_out]
            admission = replace(admission, reservation=carry(admission.reservation, taken))
        if admission.refused is not None and admission.refused.retry_after == inf:
            admission = _not_never(admission, charges)
        return replace(admission, enforcement="share")

    def _share(self, limit: Limit, replicas: int) -> Limit:
        known = self._shares.get(id(limit))
        if known is not None and known[1] == replicas:
            return known[2]
        if len(self._shares) >= _SHARES:
            self._shares.clear()
        share = limit
        if replicas > 1:
            capacity = max(1, limit.capacity // replicas) if limit.capacity else 0
            slower = limit.period * replicas if limit.algorithm == "token_bucket" else limit.period
            share = replace(limit, capacity=capacity, period=slower)
        self._shares[id(limit)] = (limit, replicas, share)
        return share

    async def _settle_memory(self, reservation: str, costs: Mapping[str, int]) -> bool:
        """What was reserved in an outage, here or elsewhere, and may have been entered in the store since."""
        name, charges = carried(reservation)
        entered = self._memory.entered(name)
        if await self._memory.settle(name, costs) and entered is None:
            return True
        if entered is not None:
            where = ((charge.limit.scope, charge.limit.name, charge.key) for charge in charges)
            charges = [one._replace(cost=entered.get(at, one.cost)) for one, at in zip(charges, where, strict=True)]
        elif self._memory.made(name):
            return False
        more = beyond(charges, costs)
        if more:
            self._owed.enter(more, once=name)
            self._look_for_store()
        return bool(more) or entered is not None

    # The breaker ---------------------------------------------------------------------------------------------------

    def _failed(self, error: StoreUnavailable) -> None:
        if isinstance(error, (ScriptFailed, SlotMoving)):
            return
        self._failures += 1
        if self._state == "closed" and (self._failures >= self._max_failures or isinstance(error, StoreTimedOut)):
            self._set("open")

    def _set(self, state: State) -> None:
        if state != self._state:
            self._state = state
            self._on_state(state)

    def _look_for_store(self) -> None:
        if not self._closed and (self._background is None or self._background.done()):
            self._background = asyncio.create_task(self._recover())

    async def _recover(self) -> None:
        while not self._closed:  # a cancellation may be lost in the store's own timeouts
            if self._state != "closed":
                await self._sleep(self._probe_every)
                self._set("half_open")
            if not await self._store.ready():
                self._set("open")
                self._stood_in = True
                continue
            self._failures = 0
            self._set("closed")
            if self._stood_in:
                self._stood_in = False
                self._hand_over()
            if not await self._owed.pay():
                self._set("open")
                self._take_back()
            elif not self._stood_in:
                return

    # Between memory and the store ----------------------------------------------------------------------------------

    def _hand_over(self) -> None:
        originals = {id(share): limit for limit, _, share in self._shares.values()}
        spent = self._memory.hand_over()
        self._owed.enter(charge._replace(limit=originals.get(id(charge.limit), charge.limit)) for charge in spent)

    def _take_back(self) -> None:
        self._stood_in = True
        replicas = max(1, self._replicas())
        for charge in self._owed.take_back():
            with suppress(StoreUnavailable):
                self._memory.take([charge._replace(limit=self._share(charge.limit, replicas))], force=True)


def _not_never(admission: Admission, charges: Sequence[Charge]) -> Admission:
    """A cost over the share alone will fit when the store is back: nobody knows when, a period is a fair guess."""
    states = []
    refused: LimitState | None = None
    binding = [charge for charge in charges if not charge.limit.shadow]
    for state, charge in zip(admission.states, binding, strict=True):
        if state.retry_after == inf and charge.cost <= charge.limit.capacity:
            state = state._replace(retry_after=charge.limit.period)
        states.append(state)
        if state.retry_after and (refused is None or state.retry_after > refused.retry_after):
            refused = state
    return replace(admission, states=tuple(states), refused=refused)
