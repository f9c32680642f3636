"""The kinds of Istio that our files use, as their published schemas have them.

mesh/v1alpha1 (MeshConfig), networking (EnvoyFilter, DestinationRule), security/v1 (AuthorizationPolicy).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from tests.deploy.kinds import Duration, Host, Metadata, Name, Part, Percent, Port, Positive


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
