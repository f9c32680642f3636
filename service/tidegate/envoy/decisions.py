"""Decides what Envoy asks about, in whichever of its calls it asks, and puts each decision on record."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from tidegate.clock import Clock
from tidegate.context_token import ContextTokens
from tidegate.edge import SIGNED_IDENTITY, is_unwanted
from tidegate.envoy.attributes import Asked
from tidegate.envoy.handoff import Handoff
from tidegate.envoy.verdicts import Admitted, Refused
from tidegate.model import Allow, Decision, Deny, Request
from tidegate.outward import dialect_of, limit_headers, trace_headers
from tidegate.pipeline import Pipeline
from tidegate.policy.compiled import Policy

if TYPE_CHECKING:
    from tidegate.tracing import Traces


class Decisions:
    """`record` is told of each decision, and how many seconds it took; `traces` makes a span of it."""

    def __init__(
        self,
        *,
        pipeline: Pipeline,
        policy: Callable[[], Policy],
        credential_headers: Callable[[Policy], tuple[str, ...]],
        clock: Clock,
        record: Callable[[Decision, float], None],
        context_tokens: ContextTokens | None = None,
        traces: Traces | None = None,
    ) -> None:
        self._pipeline = pipeline
        self._policy = policy
        self._credential_headers = credential_headers
        self._clock = clock
        self._record = record
        self._context_tokens = context_tokens or ContextTokens(clock=clock)
        self._traces = traces

    async def decide(
        self, read: Callable[[int], Asked], metadata: Callable[[], Mapping[str, str]]
    ) -> Admitted | Refused:
        """Decide one request, which `read` makes for so many trusted hops. `metadata` is that of Envoy's call."""
        started = self._clock.monotonic()
        policy = self._policy()
        request_id, target, request = read(policy.trusted_hops)
        if isinstance(request, Deny):
            blank = Request(request_id or uuid.uuid4().hex, "", "", "")
            decision = Decision(blank, request, policy.version, dialect=dialect_of(target))
        else:
            decision = await self._pipeline.decide(request)
        self._record(decision, self._clock.monotonic() - started)
        trace = "" if self._traces is None else self._traces.checked(decision, metadata(), started)
        verdict = decision.verdict
        if isinstance(verdict, Deny):
            return _refused(decision, verdict, trace)
        return self._admitted(policy, decision, verdict, trace)

    def _admitted(self, policy: Policy, decision: Decision, allow: Allow, trace: str) -> Admitted:
        identity, request = allow.identity, decision.request
        token = self._context_tokens.token_for(policy, allow, request.id)
        told = (*allow.annotations, (SIGNED_IDENTITY, token)) if token else allow.annotations
        names = [name for name, _ in told]
        handoff = Handoff.of(decision, allow)
        return Admitted(
            handoff._replace(trace=trace) if trace else handoff,
            (identity.subject, identity.tenant, identity.tier, allow.endpoint),
            told,
            self._credential_headers(policy),
            # Envoy removes after it has set, so what we tell is not among what goes.
            tuple([name for name in request.headers if is_unwanted(name) and name not in names]),
            limit_headers(allow.admission) + trace_headers(trace),
        )


def _refused(decision: Decision, deny: Deny, trace: str) -> Refused:
    limits = () if decision.admission is None else limit_headers(decision.admission)
    return Refused(deny, decision.request.id, decision.dialect, trace_headers(trace) + limits)
