"""The kinds of Gateway API that our files use, as its published schemas have them.

v1 (HTTPRoute), v1beta1 (ReferenceGrant).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from tests.deploy.kinds import Duration, Host, Metadata, Name, Part, Port


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
