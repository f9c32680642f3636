"""Calls carry the trace of whoever makes them, or of the request that they ask about, and nothing else of either."""

from __future__ import annotations

import subprocess
import sys

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import TracerProvider
from tidegate_client import tidegate_pb2 as pb
from tidegate_client.tracing import trace_context

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def judged(*headers: tuple[str, str]) -> pb.DecideRequest:
    return pb.DecideRequest(headers=[pb.Header(name=name, value=value) for name, value in headers])


def test_the_trace_of_the_judged_request() -> None:
    request = judged(("Traceparent", PARENT), ("tracestate", "a=1"), ("x", "y"), ("TraceState", "b=2"))
    assert trace_context(request) == (("traceparent", PARENT), ("tracestate", "a=1,b=2"))
    assert trace_context(judged(("traceparent", PARENT))) == (("traceparent", PARENT),)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("tracestate", "a=1")],
        [("traceparent", PARENT), ("traceparent", PARENT)],
        [("traceparent", "")],
        [("traceparent", PARENT + "\n")],
        [("traceparent", PARENT.upper())],
        [("traceparent", "ff" + PARENT[2:])],
        [("traceparent", "x" * 5000)],
    ],
    ids=str,
)
def test_what_is_no_trace_is_not_sent(headers: list[tuple[str, str]]) -> None:
    assert trace_context(judged(*headers)) == ()


@pytest.mark.parametrize("state", ["", "a=\n", "a=é", "a=" + "b" * 511])
def test_a_state_that_grpc_would_not_carry_is_left_out(state: str) -> None:
    assert trace_context(judged(("traceparent", PARENT), ("tracestate", state))) == (("traceparent", PARENT),)


def test_the_current_span_comes_first_and_its_baggage_stays() -> None:
    token = context.attach(baggage.set_baggage("who", "ada"))
    try:
        with TracerProvider(shutdown_on_exit=False).get_tracer("x").start_as_current_span("own") as span:
            (sent,) = trace_context(judged(("traceparent", PARENT)))
    finally:
        context.detach(token)
    own = span.get_span_context()
    ids = f"{trace.format_trace_id(own.trace_id)}-{trace.format_span_id(own.span_id)}"
    assert sent == ("traceparent", f"00-{ids}-{own.trace_flags:02x}")


def test_without_opentelemetry_none_is_loaded_and_the_request_speaks() -> None:
    script = (
        "import sys, tidegate_client\n"
        "from tidegate_client import tidegate_pb2 as pb\n"
        "from tidegate_client.tracing import trace_context\n"
        f"headers = [pb.Header(name='traceparent', value='{PARENT}')]\n"
        f"assert trace_context(pb.DecideRequest(headers=headers)) == (('traceparent', '{PARENT}'),)\n"
        "assert trace_context(pb.ConsumeRequest()) == ()\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
