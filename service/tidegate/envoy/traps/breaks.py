"""What fails requests, or hangs."""

from __future__ import annotations

from typing import Final

from tidegate.envoy.traps.finders import (
    blanket,
    body_mode,
    breaker,
    compressed,
    endless,
    final_status,
    flag,
    in_pieces,
    runtime,
    shorter,
    silent,
    trailers,
    unasked,
    unbuffered,
    unhealthy,
    wide_windows,
)
from tidegate.envoy.traps.trap import Trap

BREAKS: Final = (
    Trap(
        "no-refusals",
        "breaks",
        "a refusal, or what stands in the place of an answer, reaches its client as 503",
        "leave disable_immediate_response out",
        lambda parts: flag(parts.procs, "disable_immediate_response"),
    ),
    Trap(
        "buffered",
        "breaks",
        "a stream reaches its client only when it is over, and one over the buffer fails",
        "set response_body_mode: FULL_DUPLEX_STREAMED",
        body_mode("BUFFERED"),
    ),
    Trap(
        "request-in-pieces",
        "breaks",
        "Process takes a request's body whole or not at all: every request with one gets 503",
        "set request_body_mode: BUFFERED, or NONE where no decision reads the body",
        in_pieces,
    ),
    Trap(
        "trailer-mode",
        "breaks",
        "FULL_DUPLEX_STREAMED needs the trailers too",
        "set response_trailer_mode: SEND",
        trailers,
    ),
    Trap(
        "no-decision",
        "breaks",
        "Process is not told what Check decided, and withholds every answer",
        "forward the untyped namespace envoy.filters.http.ext_authz in metadata_options",
        lambda parts: unasked(
            (one for one in parts.procs if one not in parts.deciding),
            "envoy.filters.http.ext_authz",
            "metadata_options",
            "forwarding_namespaces",
            "untyped",
        ),
    ),
    Trap(
        "no-code-details",
        "breaks",
        "Envoy's own answers (denials, 404, 503) look like the model's and are withheld",
        "ask for response.code_details in response_attributes",
        lambda parts: unasked(parts.procs, "response.code_details", "response_attributes"),
    ),
    Trap(
        "compressed-answers",
        "breaks",
        "models answer compressed, which is read under a cap and never as it comes",
        "remove accept-encoding with request_headers_to_remove",
        compressed,
    ),
    Trap(
        "double-wrapped",
        "breaks",
        "a mapper for every local reply replaces the policy's own error bodies",
        "give it a filter on response.code_details",
        blanket,
    ),
    Trap(
        "check-timeout",
        "breaks",
        "a Check may take 200 ms, less than the fetch of a key set",
        "set grpc_service.timeout: 2s",
        lambda parts: shorter(parts.authz, 1.0, "grpc_service", "timeout"),
    ),
    Trap(
        "decision-timeout",
        "breaks",
        "a decision may take no longer than a message, less than the fetch of a key set",
        "set message_timeout: 2s",
        lambda parts: shorter(parts.deciding, 1.0, "message_timeout"),
    ),
    Trap(
        "message-timeout",
        "breaks",
        "Process may take 200 ms for a message, less than a long body needs",
        "set message_timeout: 1s",
        lambda parts: shorter(parts.procs, 0.5, "message_timeout"),
    ),
    Trap(
        "status-on-error",
        "breaks",
        "clients see no 503 when the policy service is away, and do not try again",
        "set status_on_error.code: ServiceUnavailable",
        final_status,
    ),
    Trap(
        "slow-requests",
        "breaks",
        "who sends a body slowly holds a stream of a worker's meanwhile, with a key or without",
        "put envoy.filters.http.buffer before ext_proc",
        unbuffered,
    ),
    Trap(
        "retry-back-off",
        "breaks",
        "its max_interval becomes the timeout of each try (envoyproxy/envoy#38847)",
        "leave retry_back_off out",
        lambda parts: (
            one.at("grpc_service", "retry_policy", "retry_back_off") for one in (*parts.authz, *parts.procs)
        ),
    ),
    Trap(
        "graceful-grpc-close",
        "breaks",
        "Envoy 1.40.0 crashes at its own end",
        "leave envoy.reloadable_features.ext_proc_graceful_grpc_close out",
        lambda parts: runtime(parts, "envoy.reloadable_features.ext_proc_graceful_grpc_close"),
    ),
    Trap(
        "few-requests",
        "breaks",
        "more than 1,024 streams at once get 500",
        "raise max_requests in circuit_breakers",
        lambda parts: breaker(parts, "max_requests", 4096),
    ),
    Trap(
        "few-retries",
        "breaks",
        "a burst of retries gets 503 (default: 3 at once)",
        "raise max_retries in circuit_breakers",
        lambda parts: breaker(parts, "max_retries", 100),
    ),
    Trap(
        "no-health-check",
        "breaks",
        "a worker that is about to stop still gets requests",
        "check its health with grpc_health_check",
        unhealthy,
    ),
    Trap(
        "no-keepalive",
        "breaks",
        "a worker that hangs holds its clients for ever",
        "set interval of connection_keepalive in http2_protocol_options",
        silent,
    ),
    Trap(
        "wide-window",
        "breaks",
        "Envoy keeps 16 MiB of each stream that a worker is slow to read, and its bookkeeping besides",
        "set initial_stream_window_size in http2_protocol_options to 1048576 or less",
        wide_windows,
    ),
    Trap(
        "no-longest-stream",
        "breaks",
        "nothing ends a stream that neither side ends",
        "set max_stream_duration on the route",
        endless,
    ),
)
"""The worst first."""
