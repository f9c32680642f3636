"""An OTLP collector that keeps what it is sent."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """`spans` by service."""

    def __init__(self) -> None:
        self.port = 0
        self.requests: list[otlp.ExportTraceServiceRequest] = []

    def Export(self, request: otlp.ExportTraceServiceRequest, _context: Any) -> otlp.ExportTraceServiceResponse:  # noqa: N802
        self.requests.append(request)
        return otlp.ExportTraceServiceResponse()

    @property
    def raw(self) -> bytes:
        return b"".join(request.SerializeToString() for request in self.requests)

    def spans(self, service: str = "tidegate") -> list[Span]:
        return [
            span
            for request in list(self.requests)
            for resource in request.resource_spans
            if any(a.key == "service.name" and a.value.string_value == service for a in resource.resource.attributes)
            for scope in resource.scope_spans
            for span in scope.spans
        ]


@contextmanager
def collecting() -> Iterator[Collector]:
    collector = Collector()
    server = grpc.server(ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)
    collector.port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield collector
    finally:
        server.stop(0).wait()
