"""ext_authz: one Check call, one decision."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import grpc
from envoy.service.auth.v3 import external_auth_pb2

from tidegate.clock import Clock
from tidegate.context_token import ContextTokens
from tidegate.envoy import translate
from tidegate.envoy.handoff import Handoff
from tidegate.model import Decision, Deny, Request
from tidegate.outward import dialect_of
from tidegate.pipeline import Pipeline
from tidegate.policy.compiled import Policy

if TYPE_CHECKING:
    from tidegate.tracing import Traces

SERVICE = "envoy.service.auth.v3.Authorization"


class CheckServicer:
    """Answers Envoy's external authorization filter. A malformed call is a clear deny, never an error or an allow."""

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
        self._traces = traces
        self._context_tokens = context_tokens or ContextTokens(clock=clock)

    def handler(self) -> grpc.GenericRpcHandler:
        """The method table for a grpc.aio server."""
        method = grpc.unary_unary_rpc_method_handler(
            self.check,
            request_deserializer=external_auth_pb2.CheckRequest.FromString,
            response_serializer=external_auth_pb2.CheckResponse.SerializeToString,
        )
        return grpc.method_handlers_generic_handler(SERVICE, {"Check": method})

    async def check(self, call: external_auth_pb2.CheckRequest, context: Any = None) -> external_auth_pb2.CheckResponse:
        """Decide one request."""
        started = self._clock.monotonic()
        policy = self._policy()
        target, request = translate.request_of(call, trusted_hops=policy.trusted_hops)
        if isinstance(request, Deny):
            blank = Request(translate.request_id_of(call) or uuid.uuid4().hex, "", "", "")
            decision = Decision(blank, request, policy.version, dialect=dialect_of(target))
        else:
            decision = await self._pipeline.decide(request)
        self._record(decision, self._clock.monotonic() - started)
        trace = ""
        if self._traces is not None:
            trace = self._traces.checked(decision, dict(context.invocation_metadata() or ()), started)
        if isinstance(decision.verdict, Deny):
            return translate.deny_response(decision, decision.verdict, trace)
        handoff = Handoff.of(decision, decision.verdict)
        if trace:
            handoff = handoff._replace(trace=trace)
        token = self._context_tokens.token_for(policy, decision.verdict, decision.request.id)
        return translate.allow_response(decision, decision.verdict, handoff, self._credential_headers(policy), token)
