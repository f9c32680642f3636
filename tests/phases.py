"""A pipeline whose phases answer as they are told, and a policy and a caller for it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from tidegate.admission.queue.fair_queue import Queue
from tidegate.model import (
    Admission,
    BodyState,
    Charge,
    Deny,
    Identity,
    Limit,
    LimitState,
    Request,
)
from tidegate.pipeline import Pipeline
from tidegate.policy import parse_policy
from tidegate.policy.compiled import Policy

POLICY = parse_policy("""
version: 1
platform:
  floor:
    rulesets: [secrets]
    limits: [{name: ip, algorithm: sliding_window, limit: 100, window: 60s, per: [client_ip]}]
tiers:
  free: {limits: [{name: rpm, algorithm: token_bucket, capacity: 20, refill: 20/60s, per: [subject]}]}
rulesets:
  secrets: [{detect: [AWS_KEY], act: redact}]
tenants:
  acme: {grants: [{role: analyst, endpoints: [chat]}]}
endpoints:
  chat: {owner: acme, match: {hosts: ["*"], path: /v1/chat, methods: [POST]}}
""")
ADA = Identity("ada", "acme", "free", "api_key", roles=frozenset({"analyst"}), credential="k1")
REQUEST = Request("r1", "POST", "models.example.com", "/v1/chat", client_ip="192.0.2.1")


class Knows:
    def __init__(self, answer: Identity | Deny | Exception) -> None:
        self.answer = answer

    async def identify(self, policy: Policy, request: Request) -> Identity | Deny:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Counts:
    def __init__(self, refuse: str = "", failure: Exception | None = None, wait: float = 2.5) -> None:
        self.refuse, self.failure, self.wait = refuse, failure, wait
        self.held: list[float | None] = []
        self.settled: list[tuple[str, Mapping[str, int]]] = []
        self.seen: list[Charge] = []

    async def reserve(self, charges: Sequence[Charge], *, hold: float | None = None) -> Admission:
        if self.failure is not None:
            raise self.failure
        self.seen = list(charges)
        self.held.append(hold)
        states = tuple(LimitState(c.limit, 0, 9.0, self.wait if c.limit.name == self.refuse else 0.0) for c in charges)
        return Admission(states, next((s for s in states if s.limit.name == self.refuse), None), "res" if hold else "")

    async def settle(self, reservation: str, costs: Mapping[str, int]) -> bool:
        if self.failure is not None:
            raise self.failure
        self.settled.append((reservation, costs))
        return True


def pipeline(
    who: Any = ADA,
    ledger: Counts | None = None,
    errors: list[Exception] | None = None,
    policy: Policy = POLICY,
    queue: Queue | None = None,
    audited: bool = True,
) -> Pipeline:
    tell = errors.append if errors is not None else None
    return Pipeline(
        policy=lambda: policy,
        identifier=Knows(who),
        ledger=ledger or Counts(),
        on_error=tell,
        queue=queue,
        audited=lambda: audited,
    )


PRICED = dataclasses.replace(
    POLICY,
    floor_limits=(
        *POLICY.floor_limits,
        Limit("platform", "tpm", "sliding_window", 9_000, 60.0, cost="tokens"),
        Limit("platform", "bytes", "sliding_window", 9_000, 60.0, cost="request_bytes"),
        Limit("platform", "out", "sliding_window", 9_000, 60.0, cost="completion_tokens"),
    ),
)
BODY = json.dumps({"messages": [{"role": "user", "content": "x" * 40}], "max_tokens": 50}).encode()
ASKED = dataclasses.replace(REQUEST, body=BODY, body_state=BodyState.WHOLE)
