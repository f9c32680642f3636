"""Limits in Redis, shared by every replica: one Lua script decides, with the server's clock, on all charges at once.

**Keys** (named in `keys`) do not hold the numbers of a limit, and what is stored does not know the capacity (see
`reference`), so a changed capacity or rate takes effect at the next decision: nothing starts afresh, and no old refusal
lives on. A lengthened window counts only what the shorter one had kept. Every key has a TTL and is gone when its limit
is full again (a sliding window: at most one window later). One master: a decision's keys may lie in several slots.

**Calendar**: a script is told the edges of the quota's period that the caller's clock is in and of the two beside it,
and picks by the server's clock. So replicas whose clocks are wrong, by up to a period, count in the same one; for one
that is further off the call fails, with `ScriptFailed`.

**Memory** in Redis: about 0.1 KiB a bucket, a sliding-window counter or a quota. A sliding window holds one hash field
of 20 to 70 bytes for each charge of the last window, so at most `capacity` charges of cost 1; each is written once and
dropped once, and no call reads the log: the sum is kept, and a refusal reads at most `MAX_WALK` of the oldest entries
to find its wait. A limit on concurrency holds a sorted set with a member of 30 bytes, about 0.1 KiB, for each lease.

**What is unknown after a timeout**: whether the charge was taken before the caller gave up; after that it is not. It is
not tried again, so nothing is charged twice; the caller gets `StoreTimedOut`, and what `outage` then decides may have
been charged once in the store besides.
"""

from __future__ import annotations

import asyncio
import math
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from math import inf

from tidegate.admission.arithmetic import MAX_COST, microseconds, rate
from tidegate.admission.batches import ScriptRunner
from tidegate.admission.keys import UNITS, Naming, hold_key, is_shared
from tidegate.admission.ledger import NOTHING, Extension
from tidegate.admission.periods import Calendar, calendar_of
from tidegate.admission.scripts import Runner, ScriptFailed, load_script
from tidegate.clock import Clock, SystemClock
from tidegate.errors import StoreUnavailable
from tidegate.model import Admission, Charge, Limit, LimitState

_CHARGE = load_script("clock.lua", "limit.lua", "sums.lua", "leases.lua", "charge.lua")
_SETTLE = load_script("clock.lua", "limit.lua", "sums.lua", "leases.lua", "settle.lua")
_EXTEND = load_script("clock.lua", "limit.lua", "sums.lua", "leases.lua", "extend.lua")
_EXTENSIONS: dict[int, Extension] = {1: "extended", 0: "refused", -1: "gone"}
_HEARTBEAT = load_script("heartbeat.lua")
_PLANS = 100_000
_MAX_HOLD_MS = 10 * 365 * 86_400_000


class _Plan:
    """What a script is told of a limit. For a quota that is a piece of the calendar, and is written anew in time."""

    __slots__ = ("_calendar", "_head", "_period", "leases", "limit", "naming", "text")

    def __init__(self, prefix: str, limit: Limit) -> None:
        self.limit = limit
        self.naming = Naming(prefix, limit)
        self._head = f"{self.naming.letters}{'s' if limit.shadow else '-'} {limit.capacity}"
        self._period = (0, 0)
        self.leases = limit.algorithm == "concurrency"
        self._calendar: Calendar | None = None
        self.text = b""
        if limit.algorithm == "quota":
            self._calendar = calendar_of(limit.resets, limit.time_zone)
        else:
            a, b = rate(limit) if limit.algorithm == "token_bucket" else (microseconds(limit.period), 0)
            self.text = f"{self._head} {a} {b}".encode()

    def text_at(self, now_us: int) -> bytes:
        """The text of a quota, whose middle period holds `now_us` (since the Unix epoch)."""
        assert self._calendar is not None  # noqa: S101 - only a quota has no lasting text
        if not self._period[0] <= now_us < self._period[1]:
            edges = self._calendar.around(now_us)
            self._period = edges[1], edges[2]
            name = f"{self.limit.resets} {self.limit.time_zone}"
            self.text = f"{self._head} {' '.join(map(str, edges))};{name}".encode()
        return self.text


class RedisLedger:
    """A `Ledger` in Redis. Everything raises `StoreUnavailable`, within `timeout` seconds, when Redis does not answer.

    `where` is `redis://`, `rediss://` or `unix://` with the options of redis-py, or what runs the scripts; a
    `ClusterRunner` wants all the charges of a call under one `tag`. Decisions that a few turns of the event loop ask
    for travel together, `max_batch` at most. `now_us` is for tests: a time in microseconds that replaces the
    server's clock, and leaves keys without a TTL. `clock` is for the calendars of quotas.
    """

    def __init__(
        self,
        where: str | Runner,
        *,
        prefix: str = "tg",
        timeout: float = 0.05,
        max_batch: int = 128,
        now_us: Callable[[], int] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._runner: Runner = (
            ScriptRunner(where, timeout=timeout, max_batch=max_batch) if isinstance(where, str) else where
        )
        self._prefix = prefix
        self._now_us = now_us
        self._clock = clock or SystemClock()
        self._plans: dict[int, _Plan] = {}
        self._cancelling: set[asyncio.Task[None]] = set()

    async def reserve(self, charges: Sequence[Charge], *, hold: float | None = None) -> Admission:
        """Take every charge or none, in one script call."""
        if not charges:
            return Admission(())
        keys: list[bytes] = []
        reservation = ""
        hold_ms = b"0"
        if hold is not None:
            reservation = f"r{secrets.token_urlsafe(12)}{{{self._tag(charges)}}}"
            keys.append(self._hold_key(reservation))
            hold_ms = _milliseconds(hold)
        args = self._arguments(charges, keys, hold_ms, b"0")
        try:
            reply: list[int] = await self._runner.run(_CHARGE, keys, args, self._now())
        except asyncio.CancelledError:
            if reservation:
                self._cancel_soon(reservation)
            raise
        states = []
        shadowed = []
        refused: LimitState | None = None
        at = 0
        for charge in charges:
            retry = reply[at + 2]
            wait = 0.0 if retry == 0 else retry / 1e6 if retry > 0 else inf
            state = LimitState(charge.limit, reply[at], reply[at + 1] / 1e6, wait)
            at += 3
            if charge.limit.shadow:
                if retry:
                    shadowed.append(state)
                continue
            states.append(state)
            if retry and (refused is None or wait > refused.retry_after):
                refused = state
        return Admission(tuple(states), refused, "" if refused is not None else reservation, shadowed=tuple(shadowed))

    async def settle(self, reservation: str, costs: Mapping[str, int]) -> bool:
        """Replace reserved costs by actual ones, once, in one script call."""
        keys = (self._hold_key(reservation),)
        reply: int = await self._runner.run(_SETTLE, keys, (_costs(costs),), self._now())
        return reply == 1

    async def extend(self, reservation: str, costs: Mapping[str, int], *, hold: float) -> Extension:
        """Add to reserved costs, all or none, and renew the hold and its leases, in one script call.

        In two when the period of a quota is over that had come with the reservation: then the script asks for others.
        """
        keys = (self._hold_key(reservation),)
        args = [_costs(costs), _milliseconds(hold), b""]
        reply: int | list[bytes] = await self._runner.run(_EXTEND, keys, args, self._now())
        if isinstance(reply, list):
            args[2] = "".join([self._calendar(name.decode()) for name in dict.fromkeys(reply)]).encode()
            reply = await self._runner.run(_EXTEND, keys, args, self._now())
        if isinstance(reply, list):
            raise ScriptFailed("the clocks of Redis and of a caller are more than a period of a quota apart")
        return _EXTENSIONS[reply]

    async def enter(self, charges: Sequence[Charge], *, once: str, keep: float) -> bool:
        """Charge what was used elsewhere, whether or not it fits; False when `once` was entered before.

        `once` names this entry for `keep` seconds, so an entry whose answer was lost can be repeated.
        """
        keys = [self._hold_key(once)]
        args = self._arguments(charges, keys, _milliseconds(keep), b"1")
        return bool(await self._runner.run(_CHARGE, keys, args, self._now()))

    async def beat(self, name: str, lasts: float) -> int:
        """Count the replica `name` as live for `lasts` seconds, 0 to leave; how many are live by the server's clock."""
        args = (name.encode(), _integer(round(lasts * 1e6)))
        live: int = await self._runner.run(_HEARTBEAT, (f"{self._prefix}|replicas".encode(),), args)
        return live

    def tag(self, charge: Charge) -> str:
        """The hash tag of the key of a charge."""
        return (self._plans.get(id(charge.limit)) or self._plan(charge.limit)).naming.tag(charge.key)

    async def ready(self) -> bool:
        """Whether Redis answers and takes writes now."""
        try:
            await self.enter((), once="ready", keep=0.001)
        except StoreUnavailable:
            return False
        return True

    async def close(self) -> None:
        """Let who was cancelled give back, and close the connection; whoever still waits gets `StoreUnavailable`."""
        if self._cancelling:
            await asyncio.wait(tuple(self._cancelling))
        await self._runner.close()

    def _cancel_soon(self, reservation: str) -> None:
        task = asyncio.create_task(self._cancel(reservation))
        self._cancelling.add(task)
        task.add_done_callback(self._cancelling.discard)

    async def _cancel(self, reservation: str) -> None:
        with suppress(StoreUnavailable):  # what was reserved stands, as after any outage
            await self.settle(reservation, NOTHING)

    def _arguments(self, charges: Sequence[Charge], keys: list[bytes], hold_ms: bytes, force: bytes) -> list[bytes]:
        args = [_integer(len(charges)), hold_ms, force]
        for charge in charges:
            plan = self._plans.get(id(charge.limit)) or self._plan(charge.limit)
            if plan.leases and hold_ms == b"0" and charge.cost > 0:
                raise ValueError(f"a charge on {charge.limit.name} needs a hold: nobody could end its lease")
            keys.append(plan.naming.key(charge.key).encode("utf-8", "surrogatepass"))
            args.append(plan.text if charge.limit.algorithm != "quota" else plan.text_at(self._wall()))
            args.append(b"1" if charge.cost == 1 else _integer(charge.cost))
        return args

    def _plan(self, limit: Limit) -> _Plan:
        # Found by identity, which is cheaper than hashing; the plan keeps the limit, and so its id, alive.
        if len(self._plans) >= _PLANS:
            self._plans.clear()
        plan = self._plans[id(limit)] = _Plan(self._prefix, limit)
        return plan

    def _tag(self, charges: Sequence[Charge]) -> str:
        tags = [self.tag(charge) for charge in charges]
        return next((tag for tag in tags if not is_shared(tag)), tags[0])

    def _calendar(self, name: str) -> str:
        resets, time_zone = name.split(" ")
        edges = calendar_of(resets, time_zone).around(self._wall())
        return f"|{name},{' '.join(map(str, edges))}"

    def _hold_key(self, reservation: str) -> bytes:
        return hold_key(self._prefix, reservation).encode("utf-8", "surrogatepass")

    def _wall(self) -> int:
        return round(self._clock.now() * 1e6) if self._now_us is None else self._now_us()

    def _now(self) -> bytes:
        return b"" if self._now_us is None else _integer(self._now_us())


def _costs(costs: Mapping[str, int]) -> bytes:
    return " ".join([f"{UNITS[unit]}{min(max(0, cost), MAX_COST)}" for unit, cost in costs.items()]).encode()


def _integer(number: int) -> bytes:
    return str(number).encode()


def _milliseconds(seconds: float) -> bytes:
    return _integer(max(1, min(_MAX_HOLD_MS, math.ceil(seconds * 1000))))
