"""Every trap that a configuration can show, as a row: what would happen, what to write, and how it is found."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from tidegate.envoy.traps.finders import (
    blanket,
    bodies,
    body_mode,
    breaker,
    cached,
    compressed,
    endless,
    final_status,
    flag,
    missing,
    no_response_mode,
    out_of_order,
    runtime,
    sampled,
    shorter,
    silent,
    trailers,
    unasked,
    unhealthy,
    unless,
    upgraded,
    wide_windows,
)
from tidegate.envoy.traps.parts import Parts, parts_of
from tidegate.envoy.traps.reading import Part

Harm = Literal["leaks", "trusts", "breaks"]
"""What a trap does: lets through what must not pass, believes what a client says, or fails requests."""


class Trapped(NamedTuple):
    """One trap of a file: where it is, what would happen and what to write."""

    trap: Trap
    line: int
    where: str

    def __str__(self) -> str:
        return f"{self.where}: {self.trap.happens}; {self.trap.write} [{self.trap.harm}: {self.trap.name}]"


@dataclass(frozen=True, slots=True)
class Trap:
    """`found` gives the parts that show it, or the part that lacks what would avoid it."""

    name: str
    harm: Harm
    happens: str
    write: str
    found: Callable[[Parts], Iterable[Part | None]]


def trapped(config: Part) -> list[Trapped]:
    """The traps of a configuration, by line. One without tidegate's filters has a trap for that."""
    parts = parts_of(config)
    found = [Trapped(trap, part.line, part.where) for trap in TRAPS for part in trap.found(parts) if part is not None]
    return sorted(set(found), key=lambda one: (one.line, one.trap.name))


TRAPS: tuple[Trap, ...] = (
    Trap(
        "missing-filter",
        "leaks",
        "ext_authz or ext_proc is not in this file: nobody decides, or nobody reads answers",
        "add what `tidegate envoy-config --filters-only` prints",
        missing,
    ),
    Trap(
        "filter-order",
        "leaks",
        "ext_proc stands before ext_authz, so it sees no decision and withholds everything",
        "put ext_authz first",
        out_of_order,
    ),
    Trap(
        "fail-open",
        "leaks",
        "requests and answers pass unchecked while the policy service is away",
        "set failure_mode_allow: false",
        lambda parts: (
            *flag((*parts.authz, *parts.procs), "failure_mode_allow"),
            *flag(parts.overrides, "overrides", "failure_mode_allow"),
        ),
    ),
    Trap(
        "filter-off",
        "leaks",
        "what this is said of goes around the policy",
        "remove it, unless nothing behind the route needs a policy",
        lambda parts: flag((*parts.guards, *parts.overrides), "disabled"),
    ),
    Trap(
        "sampled",
        "leaks",
        "requests for which this does not hold are asked about by nobody",
        "leave it out, unless those need no policy",
        sampled,
    ),
    Trap(
        "around",
        "leaks",
        "a model behind the policy is reached here without it",
        "put ext_authz and ext_proc before it, or let nobody reach this listener",
        lambda parts: parts.around,
    ),
    Trap(
        "upgrade-around",
        "leaks",
        "who asks for this upgrade passes these filters in the place of the policy",
        "leave filters out of upgrade_configs",
        upgraded,
    ),
    Trap(
        "cached",
        "leaks",
        "what the cache has is given to callers on whom nobody decided",
        "put the cache after ext_proc",
        cached,
    ),
    Trap(
        "observed",
        "leaks",
        "answers leave as they came while the policy service looks on",
        "leave observability_mode out",
        lambda parts: flag(parts.procs, "observability_mode"),
    ),
    Trap(
        "mode-override",
        "leaks",
        "an override by message corrupts framing, hangs, or sends empty bodies",
        "leave allow_mode_override out",
        lambda parts: flag(parts.procs, "allow_mode_override"),
    ),
    Trap(
        "no-response-mode",
        "leaks",
        "answers are not shown to the policy service, whatever its rulesets say",
        "set response_body_mode: FULL_DUPLEX_STREAMED",
        no_response_mode,
    ),
    Trap(
        "buffered-partial",
        "leaks",
        "what does not fit into the buffer passes unread",
        "set response_body_mode: FULL_DUPLEX_STREAMED",
        body_mode("BUFFERED_PARTIAL"),
    ),
    Trap(
        "streamed",
        "leaks",
        "text that is held back is lost when trailers arrive, and every chunk needs one answer",
        "set response_body_mode: FULL_DUPLEX_STREAMED",
        body_mode("STREAMED"),
    ),
    Trap(
        "buffered",
        "breaks",
        "a stream reaches its client only when it is over, and one over the buffer fails",
        "set response_body_mode: FULL_DUPLEX_STREAMED",
        body_mode("BUFFERED"),
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
            parts.procs, "envoy.filters.http.ext_authz", "metadata_options", "forwarding_namespaces", "untyped"
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
        "one-header",
        "trusts",
        "a credential that comes twice is seen joined, as one",
        "set encode_raw_headers: true",
        lambda parts: unless(parts.authz, "encode_raw_headers"),
    ),
    Trap(
        "partial-body",
        "trusts",
        "decisions would be about the beginning of a body only",
        "set allow_partial_message: false",
        lambda parts: flag(bodies(parts), "allow_partial_message"),
    ),
    Trap(
        "unpacked-body",
        "trusts",
        "bytes that are no UTF-8 become '!', so that policy and model read different bodies",
        "set pack_as_bytes: true",
        lambda parts: unless(bodies(parts), "pack_as_bytes"),
    ),
    Trap(
        "normalize-path",
        "trusts",
        "/a/../b reaches policy and model as it is written",
        "set normalize_path: true",
        lambda parts: unless(parts.managers, "normalize_path"),
    ),
    Trap(
        "merge-slashes",
        "trusts",
        "//admin and /admin are two paths for the policy and one for many models",
        "set merge_slashes: true",
        lambda parts: unless(parts.managers, "merge_slashes"),
    ),
    Trap(
        "escaped-slashes",
        "trusts",
        "%2f and %5c can hide a path from the policy",
        "set path_with_escaped_slashes_action: REJECT_REQUEST",
        lambda parts: (
            one for one in parts.managers if one.text("path_with_escaped_slashes_action") != "REJECT_REQUEST"
        ),
    ),
    Trap(
        "underscores",
        "trusts",
        "x_tidegate_tenant is read as x-tidegate-tenant by many servers",
        "set common_http_protocol_options.headers_with_underscores_action: REJECT_REQUEST",
        lambda parts: (
            one
            for one in parts.managers
            if one.text("common_http_protocol_options", "headers_with_underscores_action")
            not in ("REJECT_REQUEST", "DROP_HEADER")
        ),
    ),
    Trap(
        "client-address",
        "trusts",
        "the client's address is what X-Forwarded-For says",
        "set use_remote_address: true",
        lambda parts: unless(parts.managers, "use_remote_address"),
    ),
    Trap(
        "trailing-dot",
        "trusts",
        "Envoy and the policy may choose different endpoints for 'host.'",
        "set strip_trailing_host_dot: true",
        lambda parts: unless(parts.managers, "strip_trailing_host_dot"),
    ),
    Trap(
        "client-certificate",
        "trusts",
        "any client can name a workload in X-Forwarded-Client-Cert",
        "leave forward_client_cert_details out, or set FORWARD_ONLY where a proxy in front proves who it is",
        lambda parts: (
            one.at("forward_client_cert_details")
            for one in parts.managers
            if one.text("forward_client_cert_details") in ("ALWAYS_FORWARD_ONLY", "4")
        ),
    ),
    Trap(
        "request-id",
        "trusts",
        "clients choose the id by which logs and audit records are found",
        "leave preserve_external_request_id out",
        lambda parts: flag(parts.managers, "preserve_external_request_id"),
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
"""In the order in which docs/envoy.md tells of them, the worst first."""
