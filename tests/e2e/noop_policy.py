"""A policy service that decides nothing: an empty Check that allows, and a Process that passes every byte on.

The harness is verified against it, and `make bench` takes it as the floor: the same runtime, the same server options,
no policy. `python -m tests.e2e.noop_policy 127.0.0.1:PORT`.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import uvloop
from envoy.service.auth.v3 import external_auth_pb2 as auth
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc
from google.rpc import status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

OPTIONS = (
    ("grpc.so_reuseport", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 1000),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.max_concurrent_streams", 100_000),
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
)
Processor = Callable[[AsyncIterator[ext_proc.ProcessingRequest], Any], Awaitable[None]]

_ALLOW = auth.CheckResponse(status=status_pb2.Status(code=0), ok_response=auth.OkHttpResponse())
HEADERS = ext_proc.ProcessingResponse(
    response_headers=ext_proc.HeadersResponse(
        response=ext_proc.CommonResponse(header_mutation=ext_proc.HeaderMutation(remove_headers=["content-length"]))
    )
)
_REQUEST = ext_proc.ProcessingResponse(request_headers=ext_proc.HeadersResponse())
_TRAILERS = ext_proc.ProcessingResponse(response_trailers=ext_proc.TrailersResponse())


async def check(_request: auth.CheckRequest, _context: Any) -> auth.CheckResponse:
    return _ALLOW


async def process(messages: AsyncIterator[ext_proc.ProcessingRequest], context: Any) -> None:
    async for message in messages:
        match message.WhichOneof("request"):
            case "request_headers":
                await context.write(_REQUEST)
            case "response_headers":
                await context.write(HEADERS)
            case "response_body":
                await context.write(_body(message.response_body.body, message.response_body.end_of_stream))
            case "response_trailers":
                await context.write(_TRAILERS)


def _body(data: bytes, end: bool) -> ext_proc.ProcessingResponse:
    streamed = ext_proc.StreamedBodyResponse(body=data, end_of_stream=end)
    mutation = ext_proc.BodyMutation(streamed_response=streamed)
    return ext_proc.ProcessingResponse(
        response_body=ext_proc.BodyResponse(response=ext_proc.CommonResponse(body_mutation=mutation))
    )


def _handlers(process: Processor) -> tuple[grpc.GenericRpcHandler, ...]:
    checker = grpc.unary_unary_rpc_method_handler(
        check, auth.CheckRequest.FromString, auth.CheckResponse.SerializeToString
    )
    processor = grpc.stream_stream_rpc_method_handler(
        process, ext_proc.ProcessingRequest.FromString, ext_proc.ProcessingResponse.SerializeToString
    )
    return (
        grpc.method_handlers_generic_handler("envoy.service.auth.v3.Authorization", {"Check": checker}),
        grpc.method_handlers_generic_handler("envoy.service.ext_proc.v3.ExternalProcessor", {"Process": processor}),
    )


async def serve(address: str, process: Processor = process) -> None:
    """Serve until SIGTERM."""
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    server = grpc.aio.server(options=OPTIONS)
    server.add_generic_rpc_handlers(_handlers(process))
    servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    await servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    server.add_insecure_port(address)
    await server.start()
    await stopping.wait()
    await server.stop(0)


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1]))
