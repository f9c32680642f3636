"""The kinds of Istio, of Gateway API and of Envoy Gateway that our files use, as their published schemas have them.

Istio: mesh/v1alpha1 (MeshConfig), networking (EnvoyFilter, DestinationRule), security/v1 (AuthorizationPolicy).
Gateway API: v1 (HTTPRoute), v1beta1 (ReferenceGrant). Envoy Gateway: gateway.envoyproxy.io/v1alpha1, as of 1.5.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from tests.deploy.kinds import Duration, Metadata, Name, Part, Port

Host = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)]
Positive = Annotated[int, Field(ge=1)]
Percent = Annotated[int, Field(ge=0, le=100)]


class RequestBody(Part):
    max_request_bytes: Positive
    allow_partial_message: bool
    pack_as_bytes: bool


class ExtAuthzGrpc(Part):
    service: Annotated[str, StringConstraints(pattern=r"^([a-z0-9-]+/)?[a-z0-9.-]+$")]
    port: Port
    timeout: Duration
    fail_open: bool
    status_on_error: Annotated[str, StringConstraints(pattern=r"^[1-5][0-9]{2}$")]
    include_request_body_in_check: RequestBody


class ExtensionProvider(Part):
    name: Name
    envoy_ext_authz_grpc: ExtAuthzGrpc


class Mesh(Part):
    extension_providers: list[ExtensionProvider]


class MeshValues(Part):
    mesh_config: Mesh


class Labels(Part):
    match_labels: dict[str, str]


class Provider(Part):
    name: Name


class Rule(Part):
    """Without a word it means every request."""


class AuthorizationPolicySpec(Part):
    selector: Labels
    action: Literal["CUSTOM"]
    provider: Provider
    rules: list[Rule]


class AuthorizationPolicy(Part):
    api_version: Literal["security.istio.io/v1"]
    kind: Literal["AuthorizationPolicy"]
    metadata: Metadata
    spec: AuthorizationPolicySpec


class Tcp(Part):
    max_connections: Positive
    connect_timeout: Duration


class Http(Part):
    http1_max_pending_requests: Positive = Field(alias="http1MaxPendingRequests")
    http2_max_requests: Positive = Field(alias="http2MaxRequests")
    max_retries: Positive


class Pool(Part):
    tcp: Tcp
    http: Http


class Outliers(Part):
    split_external_local_origin_errors: bool
    consecutive_local_origin_failures: int
    consecutive_5xx_errors: int = Field(alias="consecutive5xxErrors")
    consecutive_gateway_errors: int
    interval: Duration
    base_ejection_time: Duration
    max_ejection_percent: Percent


class Simple(Part):
    simple: Literal["UNSPECIFIED", "RANDOM", "PASSTHROUGH", "ROUND_ROBIN", "LEAST_REQUEST"]


class TrafficPolicy(Part):
    load_balancer: Simple
    connection_pool: Pool
    outlier_detection: Outliers


class DestinationRuleSpec(Part):
    host: Host
    traffic_policy: TrafficPolicy


class DestinationRule(Part):
    api_version: Literal["networking.istio.io/v1"]
    kind: Literal["DestinationRule"]
    metadata: Metadata
    spec: DestinationRuleSpec


class Named(Part):
    name: str


class FilterMatch(Part):
    name: str
    sub_filter: Named | None = None


class FilterChain(Part):
    filter: FilterMatch


class ListenerMatch(Part):
    filter_chain: FilterChain


class VirtualHostMatch(Part):
    route: Named


class RouteConfigurationMatch(Part):
    vhost: VirtualHostMatch


class ClusterMatch(Part):
    service: Host
    port_number: Port


class Match(Part):
    context: Literal["ANY", "SIDECAR_INBOUND", "SIDECAR_OUTBOUND", "GATEWAY"]
    listener: ListenerMatch | None = None
    route_configuration: RouteConfigurationMatch | None = None
    cluster: ClusterMatch | None = None


class Patch(Part):
    operation: Literal["MERGE", "ADD", "REMOVE", "INSERT_BEFORE", "INSERT_AFTER", "INSERT_FIRST", "REPLACE"]
    value: dict[str, Any]


class ConfigPatch(Part):
    apply_to: Literal["HTTP_FILTER", "NETWORK_FILTER", "ROUTE_CONFIGURATION", "VIRTUAL_HOST", "HTTP_ROUTE", "CLUSTER"]
    match: Match
    patch: Patch


class Selector(Part):
    labels: dict[str, str]


class EnvoyFilterSpec(Part):
    workload_selector: Selector
    config_patches: list[ConfigPatch]


class EnvoyFilter(Part):
    api_version: Literal["networking.istio.io/v1alpha3"]
    kind: Literal["EnvoyFilter"]
    metadata: Metadata
    spec: EnvoyFilterSpec


class GrantFrom(Part):
    group: str
    kind: str
    namespace: Name


class GrantTo(Part):
    group: str
    kind: str
    name: Name


class Grants(Part):
    from_: list[GrantFrom] = Field(alias="from")
    to: list[GrantTo]


class ReferenceGrant(Part):
    api_version: Literal["gateway.networking.k8s.io/v1beta1"]
    kind: Literal["ReferenceGrant"]
    metadata: Metadata
    spec: Grants


class Parent(Part):
    name: Name


class PathMatch(Part):
    type: Literal["Exact", "PathPrefix", "RegularExpression"]
    value: Annotated[str, StringConstraints(pattern=r"^/")]


class RouteMatch(Part):
    path: PathMatch
    method: Literal["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"]


class HeaderModifier(Part):
    remove: Annotated[list[str], Field(max_length=16)]


class RouteFilter(Part):
    type: Literal["RequestHeaderModifier"]
    request_header_modifier: HeaderModifier


class RouteTimeouts(Part):
    request: Duration


class Backend(Part):
    name: Name
    namespace: Name | None = None
    port: Port


class RouteRule(Part):
    matches: list[RouteMatch]
    filters: list[RouteFilter]
    timeouts: RouteTimeouts
    backend_refs: list[Backend]


class HttpRouteSpec(Part):
    parent_refs: list[Parent]
    hostnames: list[Host]
    rules: list[RouteRule]


class HttpRoute(Part):
    api_version: Literal["gateway.networking.k8s.io/v1"]
    kind: Literal["HTTPRoute"]
    metadata: Metadata
    spec: HttpRouteSpec


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


class ClusterSettings(Part):
    load_balancer: Balancer
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


KINDS: dict[str, type[Part]] = {
    "AuthorizationPolicy": AuthorizationPolicy,
    "ClientTrafficPolicy": ClientTrafficPolicy,
    "DestinationRule": DestinationRule,
    "EnvoyExtensionPolicy": EnvoyExtensionPolicy,
    "EnvoyFilter": EnvoyFilter,
    "EnvoyPatchPolicy": EnvoyPatchPolicy,
    "HTTPRoute": HttpRoute,
    "ReferenceGrant": ReferenceGrant,
    "SecurityPolicy": SecurityPolicy,
}
