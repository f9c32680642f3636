"""Calls of a servicer with bare messages, over a real grpc.aio server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
from tidegate.api import tidegate_pb2 as pb
from tidegate.api.servicer import SERVICE

from tests.client.world import serving

PII = pb.Selection(rulesets=["pii"])
START = pb.FilterStreamRequest(start=pb.FilterStreamRequest.Start(selection=PII))
END = pb.FilterStreamRequest(end=pb.FilterStreamRequest.End())
CHARGE = pb.ConsumeRequest(
    attributes={"tenant": "acme", "tier": "premium", "subject": "ida", "model": "m"}, endpoint="chat", cost=1
)


def text(chunk: str) -> pb.FilterStreamRequest:
    return pb.FilterStreamRequest(text=chunk)


@asynccontextmanager
async def channel_to(servicer: Any) -> AsyncIterator[Any]:
    async with serving(servicer.handlers()) as target, grpc.aio.insecure_channel(target) as channel:
        yield channel


async def ask(channel: Any, rpc: str, message: Any, answer: Any) -> Any:
    method = channel.unary_unary(
        f"/{SERVICE}/{rpc}",
        request_serializer=type(message).SerializeToString,
        response_deserializer=answer.FromString,
    )
    return await method(message, timeout=5)
