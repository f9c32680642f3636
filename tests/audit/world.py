"""A log to try things on: its sink, its clock, what it told, and decisions and responses to put into it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tidegate.audit.chain import Head, Sealed
from tidegate.audit.files import FileSink
from tidegate.audit.log import AuditLog
from tidegate.audit.sink import FilePlace, Sink
from tidegate.envoy.exchange import Exchange
from tidegate.envoy.handoff import Handoff
from tidegate.errors import AuditUnavailable
from tidegate.filtering.formats import Coverage
from tidegate.model import Admission, Allow, Charge, Decision, Deny, Identity, Limit, LimitState, Reason, Request
from tidegate.policy import parse_policy

POLICY = parse_policy("""
version: 1
tiers: {free: {}}
tenants: {acme: {grants: [{role: analyst, endpoints: [chat]}]}}
endpoints:
  chat:
    owner: acme
    match: {hosts: ["*"], path: "/v1/{what}", methods: [POST]}
    model: {from: body.model, allowed: {free: [small]}}
""")
ADA = Identity("ada", "acme", "free", "api_key", credential="k1", client_id="k1")
RPM = Limit("tier:free", "rpm", "token_bucket", 20, 60.0, 20)


@dataclass
class Time:
    at: float = 1_800_000_000.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


@dataclass
class Told:
    """What a log tells of itself."""

    written: int = 0
    lost: int = 0
    states: list[tuple[bool, str]] = field(default_factory=list)
    heads: list[tuple[str, Head, str]] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)

    def audit_written(self, records: int) -> None:
        self.written += records

    def audit_lost(self, records: int) -> None:
        self.lost += records

    def audit_state(self, available: bool, why: str) -> None:
        self.states.append((available, why))

    def audit_head(self, writer: str, head: Head, why: str) -> None:
        self.heads.append((writer, head, why))


@dataclass
class Fickle:
    """A sink that fails while it is told to; before that it keeps `keeps` records of an attempt that fails."""

    kept: list[Sealed] = field(default_factory=list)
    failing: bool = False
    head: Head = field(default_factory=Head)
    attempts: int = 0

    async def open(self) -> tuple[Head, int]:
        if self.failing:
            raise AuditUnavailable("No space left on device")
        return self.head, 0

    async def append(self, records: Sequence[Sealed]) -> None:
        self.attempts += 1
        if self.failing:
            raise AuditUnavailable("No space left on device")
        self.kept.extend(records)

    def full(self, now: float) -> bool:
        return False

    async def close(self) -> None:
        pass


async def _at_once(_: float) -> None:
    await asyncio.sleep(0)


def a_log(sink: Sink, *, key: bytes = b"", told: Told | None = None, **options: Any) -> AuditLog:
    told = told or Told()
    given: dict[str, Any] = {"writer": "w", "policy": lambda: POLICY, "clock": Time(), "sleep": _at_once, **options}
    return AuditLog(sink, key=key, observer=told, on_error=told.errors.append, **given)


def a_decision(request_id: str = "r1", **changes: Any) -> Decision:
    request = Request(request_id, "POST", "models.example.com", "/v1/chat")
    admission = Admission((LimitState(RPM, 19, 3.0),))
    allow = Allow(ADA, "chat", "small", (), admission)
    parts: dict[str, Any] = {
        "request": request, "verdict": allow, "policy": POLICY.version, "identity": ADA, "endpoint": "chat",
        "model": "small", "admission": admission, "charges": (Charge(RPM, "acme|ada", 1),),
    }  # fmt: skip
    return Decision(**(parts | changes))


def a_refusal(request_id: str = "r1", reason: Reason = Reason.CREDENTIAL_INVALID, status: int = 401) -> Decision:
    request = Request(request_id, "POST", "models.example.com", "/v1/chat")
    return Decision(request, Deny(status, reason, "No."), POLICY.version)


def an_exchange(request_id: str = "r1", **changes: Any) -> tuple[Exchange, str, Coverage]:
    def never(*_: Any) -> Any:
        raise AssertionError

    handoff = Handoff(
        request_id, POLICY.version, "ada", "acme", "free", "chat", "small", (), "openai", "withhold", 1 << 20
    )
    exchange = Exchange(never, never, handoff, "rewritten", sent=90, settled={"tokens": 12})
    for name, value in changes.items():
        setattr(exchange, name, value)
    coverage = Coverage("json", 60, 40, 3, 1, {"number": 1}, {("EMAIL", "redact"): 2})
    return exchange, request_id, coverage


async def write(
    directory: Path, runs: Sequence[int], *, key: bytes = b"", size: int = 1 << 20, end: bool = True
) -> Told:
    """A log of one process after the other, each with so many exchanges; a file is about `size` bytes."""
    told = Told()
    number = 0
    for count in runs:
        log = a_log(FileSink(FilePlace(directory, max_size=size), "w", clock=Time()), key=key, told=told)
        await log.start()
        for _ in range(count):
            number += 1
            log.decision(a_decision(f"r{number}"))
            log.response(*an_exchange(f"r{number}"))
            await log.flush()
        await log.close()
    assert not told.errors
    return told
