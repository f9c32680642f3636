"""The kinds of Envoy Gateway that our files use, as its published schemas have them: v1alpha1, as of 1.8.

Read from the custom resource definitions of its chart (charts/gateway-crds-helm) and from api/v1alpha1, with the rules
that these demand beside the types. 1.8 is the first with `extAuth.statusOnError` and `http2.connectionKeepalive`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from tests.deploy.gateway_api_kinds import Backend
from tests.deploy.kinds import Duration, Metadata, Name, Part, Percent, Positive, Quantity


class Target(Part):
    group: Literal["gateway.networking.k8s.io"]
    kind: Literal["Gateway", "GatewayClass", "HTTPRoute", "GRPCRoute"]
    name: Name


class Balancer(Part):
    type: Literal["ConsistentHash", "LeastRequest", "Random", "RoundRobin"]


class CircuitBreaker(Part):
    max_connections: Positive
    max_pending_requests: Positive
    max_parallel_requests: Positive
    max_parallel_retries: Positive


class ActiveHealthCheck(Part):
    type: Literal["HTTP", "TCP", "GRPC"]
    timeout: Duration
    interval: Duration
    unhealthy_threshold: Positive
    healthy_threshold: Positive


class HealthCheck(Part):
    panic_threshold: Percent
    active: ActiveHealthCheck


class ConnectionKeepalive(Part):
    interval: Duration
    timeout: Duration


class Http2(Part):
    initial_stream_window_size: Quantity
    connection_keepalive: ConnectionKeepalive


class Tcp(Part):
    connect_timeout: Duration


class Timeout(Part):
    tcp: Tcp


class ClusterSettings(Part):
    load_balancer: Balancer
    timeout: Timeout
    http2: Http2
    circuit_breaker: CircuitBreaker
    health_check: HealthCheck


class GrpcExtAuth(Part):
    backend_refs: Annotated[list[Backend], Field(min_length=1, max_length=16)]
    backend_settings: ClusterSettings


class BodyToExtAuth(Part):
    max_request_bytes: Positive


class ExtAuth(Part):
    fail_open: bool
    status_on_error: Annotated[int, Field(ge=400, le=599)]
    timeout: Duration
    body_to_ext_auth: BodyToExtAuth
    grpc: GrpcExtAuth


class SecurityPolicySpec(Part):
    target_refs: list[Target]
    ext_auth: ExtAuth


class SecurityPolicy(Part):
    api_version: Literal["gateway.envoyproxy.io/v1alpha1"]
    kind: Literal["SecurityPolicy"]
    metadata: Metadata
    spec: SecurityPolicySpec


Attribute = Annotated[
    str,
    StringConstraints(
        pattern=r"^(connection\.|source\.|destination\.|request\.|response\.|upstream\.|xds\.route_)[a-z_1-9]*$"
    ),
]


class ProcessingModeOptions(Part):
    body: Literal["Streamed", "Buffered", "BufferedPartial", "FullDuplexStreamed"]
    attributes: list[Attribute] | None = None


class ProcessingMode(Part):
    allow_mode_override: bool
    request: ProcessingModeOptions
    response: ProcessingModeOptions


class ProcessMetadata(Part):
    accessible_namespaces: list[str]
    writable_namespaces: Annotated[list[str], Field(max_length=8)]

    @model_validator(mode="after")
    def no_namespace_of_a_filter(self) -> Self:
        if any(name.startswith("envoy.filters.http") for name in self.writable_namespaces):
            raise ValueError("writableNamespaces cannot contain well-known Envoy HTTP filter namespaces")
        return self


class ExtProc(Part):
    fail_open: bool
    message_timeout: Duration
    processing_mode: ProcessingMode
    metadata: ProcessMetadata
    backend_refs: Annotated[list[Backend], Field(min_length=1, max_length=16)]
    backend_settings: ClusterSettings

    @model_validator(mode="after")
    def full_duplex_fails_closed(self) -> Self:
        modes = self.processing_mode
        if self.fail_open and "FullDuplexStreamed" in (modes.request.body, modes.response.body):
            raise ValueError("if FullDuplexStreamed is used, failOpen must be false")
        return self


class EnvoyExtensionPolicySpec(Part):
    target_refs: list[Target]
    ext_proc: Annotated[list[ExtProc], Field(max_length=16)]


class EnvoyExtensionPolicy(Part):
    api_version: Literal["gateway.envoyproxy.io/v1alpha1"]
    kind: Literal["EnvoyExtensionPolicy"]
    metadata: Metadata
    spec: EnvoyExtensionPolicySpec


class PathSettings(Part):
    escaped_slashes_action: Literal["KeepUnchanged", "RejectRequest", "UnescapeAndForward", "UnescapeAndRedirect"]
    disable_merge_slashes: bool


class Xfcc(Part):
    mode: Literal["Sanitize", "ForwardOnly", "AppendForward", "SanitizeSet", "AlwaysForwardOnly"]


class HeaderSettings(Part):
    with_underscores_action: Literal["Allow", "RejectRequest", "DropHeader"]
    x_forwarded_client_cert: Xfcc


class Connection(Part):
    buffer_limit: Quantity


class ClientTrafficPolicySpec(Part):
    target_refs: list[Target]
    path: PathSettings
    headers: HeaderSettings
    connection: Connection


class ClientTrafficPolicy(Part):
    api_version: Literal["gateway.envoyproxy.io/v1alpha1"]
    kind: Literal["ClientTrafficPolicy"]
    metadata: Metadata
    spec: ClientTrafficPolicySpec


class Operation(Part):
    op: Literal["add", "remove", "replace", "move", "copy", "test"]
    json_path: str
    path: str
    value: Any


class JsonPatch(Part):
    type: Literal["type.googleapis.com/envoy.config.listener.v3.Listener"]
    name: str
    operation: Operation


class EnvoyPatchPolicySpec(Part):
    target_ref: Target
    type: Literal["JSONPatch"]
    json_patches: list[JsonPatch]


class EnvoyPatchPolicy(Part):
    api_version: Literal["gateway.envoyproxy.io/v1alpha1"]
    kind: Literal["EnvoyPatchPolicy"]
    metadata: Metadata
    spec: EnvoyPatchPolicySpec
