"""The kinds of Envoy Gateway that our files use, as its published schemas have them: v1alpha1, as of 1.5."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from tests.deploy.gateway_api_kinds import Backend
from tests.deploy.kinds import Duration, Metadata, Name, Part, Percent, Positive


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


class Http2(Part):
    initial_stream_window_size: Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]*(Ki|Mi)?$")]


class ClusterSettings(Part):
    load_balancer: Balancer
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


class ProcessingModeOptions(Part):
    body: Literal["Streamed", "Buffered", "BufferedPartial", "FullDuplexStreamed"]
    attributes: list[str] | None = None


class ProcessingMode(Part):
    allow_mode_override: bool
    request: ProcessingModeOptions
    response: ProcessingModeOptions


class ProcessMetadata(Part):
    accessible_namespaces: list[str]
    writable_namespaces: list[str]


class ExtProc(Part):
    fail_open: bool
    message_timeout: Duration
    processing_mode: ProcessingMode
    metadata: ProcessMetadata
    backend_refs: Annotated[list[Backend], Field(min_length=1, max_length=16)]
    backend_settings: ClusterSettings


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
    buffer_limit: Annotated[str, StringConstraints(pattern=r"^[0-9]+(Ki|Mi|Gi)?$")]


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
