"""W3C Trace Context on calls to the service, whose spans are then below the caller's, or the judged request's."""

from __future__ import annotations

import re
import sys
from typing import Final

from google.protobuf.message import Message

from tidegate_client import tidegate_pb2 as pb

Metadata = tuple[tuple[str, str], ...]

_PARENT: Final = "traceparent"
_STATE: Final = "tracestate"
_PARENT_FORM: Final = re.compile(r"(?!ff)[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_STATE_FORM: Final = re.compile(r"[ -~\t]{1,512}")  # what gRPC carries; the specification asks for 512 characters


def trace_context(request: Message) -> Metadata:
    """The gRPC metadata of a call: `traceparent`, and `tracestate` where there is one.

    That of OpenTelemetry's current span, where the application uses it. Without one, that of the request which is to be
    judged, if its headers have it once and in its form. Nothing else of either is sent, no baggage among it.
    """
    return _current() or (_of(request) if isinstance(request, pb.DecideRequest) else ())


def _current() -> Metadata:
    if "opentelemetry.trace" not in sys.modules:  # who never imported it has no span
        return ()
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    told: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(told)
    return tuple(told.items())


def _of(request: pb.DecideRequest) -> Metadata:
    named = [(header.name.lower(), header.value) for header in request.headers]
    parents = [value for name, value in named if name == _PARENT]
    if len(parents) != 1 or not _PARENT_FORM.fullmatch(parents[0]):
        return ()
    state = ",".join(value for name, value in named if name == _STATE)
    return ((_PARENT, parents[0]), *(((_STATE, state),) if _STATE_FORM.fullmatch(state) else ()))
