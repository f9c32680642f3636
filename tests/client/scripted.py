"""A service on the network that does as it is told, call by call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
from tidegate_client import tidegate_pb2 as pb
from tidegate_client.messages import SERVICE

Client = Callable[..., Any]


class Scripted:
    """A service that answers each call as the next step of a script says, and counts the calls."""

    def __init__(self, *steps: grpc.StatusCode | float | None) -> None:
        self.steps = list(steps)
        self.calls: list[str] = []

    async def _step(self, name: str, context: Any) -> None:
        self.calls.append(name)
        step = self.steps.pop(0) if self.steps else None
        if isinstance(step, grpc.StatusCode):
            await context.abort(step, "scripted")
        if step is not None:
            await asyncio.sleep(step)

    def handlers(self) -> tuple[grpc.GenericRpcHandler, ...]:
        def unary(name: str, request: Any, answer: Any) -> grpc.RpcMethodHandler:
            async def serve(_message: Any, context: Any) -> Any:
                await self._step(name, context)
                return answer

            return grpc.unary_unary_rpc_method_handler(
                serve, request_deserializer=request.FromString, response_serializer=type(answer).SerializeToString
            )

        async def stream(messages: AsyncIterator[pb.FilterStreamRequest], context: Any) -> AsyncIterator[Any]:
            async for message in messages:
                if not message.HasField("start"):
                    await self._step("FilterStream", context)
                yield pb.FilterStreamResponse(text=message.text)
                if message.text == "stop":
                    return

        methods = {
            "Decide": unary("Decide", pb.DecideRequest, pb.DecideResponse()),
            "Consume": unary("Consume", pb.ConsumeRequest, pb.ConsumeResponse(admitted=True)),
            "Settle": unary("Settle", pb.SettleRequest, pb.SettleResponse(settled=True)),
            "Extend": unary("Extend", pb.ExtendRequest, pb.ExtendResponse(extension=pb.EXTENSION_EXTENDED)),
            "FilterText": unary("FilterText", pb.FilterTextRequest, pb.FilterTextResponse(text="ok")),
            "FilterStream": grpc.stream_stream_rpc_method_handler(
                stream,
                request_deserializer=pb.FilterStreamRequest.FromString,
                response_serializer=pb.FilterStreamResponse.SerializeToString,
            ),
        }
        return (grpc.method_handlers_generic_handler(SERVICE, methods),)
