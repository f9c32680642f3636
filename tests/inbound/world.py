"""A pipeline that reads prompts, what it charges, and requests for it."""

from __future__ import annotations

import json
from typing import Any

from tidegate.admission.memory import MemoryLedger
from tidegate.inbound.inspector import Inspector
from tidegate.model import Allow, BodyState, Decision, Deny, Identity, Inspection, Request
from tidegate.pipeline import Pipeline
from tidegate.policy import parse_policy
from tidegate.policy.compiled import Policy

from tests.admission.world import HandClock
from tests.phases import ADA, Knows

POLICY = """
version: 1
tiers:
  free:
    limits:
      - {name: rpm, algorithm: sliding_window, limit: 3, window: 60s, per: [subject]}
      - {name: tpm, algorithm: sliding_window, limit: 100000, window: 60s, per: [subject], cost: tokens}
rulesets:
  watched: [{detect: [PHONE], act: annotate}]
tenants: {acme: {grants: [{role: analyst, endpoints: "*"}]}}
endpoints:
  chat:
    owner: acme
    match: {hosts: "*", path: /v1/chat, methods: [POST]}
    request:
      max_size: 200KiB
      body: {schema: {type: object, required: [messages]}}
      rules: [{detect: [EMAIL, US_SSN], act: block}]
      rulesets: [watched]
      tell_upstream: true
"""
MAIL = "bob@example.com"
SSN = "078-05-1120"
PHONE = "+44 20 7946 0018"


def asked(document: Any, **headers: str) -> Request:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    fields = {"content-type": "application/json", "content-length": str(len(body)), **headers}
    return Request("r1", "POST", "h", "/v1/chat", headers=fields, body=body, body_state=BodyState.WHOLE)


def says(text: Any, role: str = "user") -> dict[str, Any]:
    return {"messages": [{"role": role, "content": text}]}


class World:
    """A pipeline, and what it charges."""

    def __init__(self, policy: Policy | str = POLICY, *, shadow: bool = False, who: Identity = ADA) -> None:
        self.policy = parse_policy(policy) if isinstance(policy, str) else policy
        self.ledger = MemoryLedger(HandClock())
        self.errors: list[Exception] = []
        self._pipeline = Pipeline(
            policy=lambda: self.policy,
            identifier=Knows(who),
            ledger=self.ledger,
            on_error=self.errors.append,
            inspector=Inspector(shadow=shadow),
        )

    async def decide(self, document: Any, **headers: str) -> Decision:
        decision = await self._pipeline.decide(asked(document, **headers))
        assert not self.errors
        return decision

    async def refused(self, document: Any, **headers: str) -> Deny:
        decision = await self.decide(document, **headers)
        assert isinstance(decision.verdict, Deny)
        return decision.verdict

    async def allowed(self, document: Any, **headers: str) -> Inspection:
        decision = await self.decide(document, **headers)
        assert isinstance(decision.verdict, Allow), decision.verdict
        assert decision.inspection is not None
        return decision.inspection

    async def left(self) -> dict[str, int]:
        """What is left of each limit, as a request without prompts would find it."""
        decision = await self._pipeline.decide(asked(says("")))
        assert decision.admission is not None
        return {state.limit.name: state.remaining for state in decision.admission.states}
