"""ext_authz: one Check call, one decision."""

from __future__ import annotations

from typing import Any

import grpc
from envoy.service.auth.v3 import external_auth_pb2

from tidegate.envoy import translate_check as translate
from tidegate.envoy.decisions import Decisions
from tidegate.envoy.verdicts import Refused

SERVICE = "envoy.service.auth.v3.Authorization"


class CheckServicer:
    """Answers Envoy's external authorization filter. A malformed call is a clear deny, never an error or an allow."""

    def __init__(self, decisions: Decisions) -> None:
        self._decisions = decisions

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
        decided = await self._decisions.decide(
            lambda hops: translate.request_of(call, trusted_hops=hops),
            lambda: dict(context.invocation_metadata() or ()),
        )
        return translate.deny_response(decided) if isinstance(decided, Refused) else translate.allow_response(decided)
