"""The kinds of Istio, of Gateway API and of Envoy Gateway that our files use, by name."""

from __future__ import annotations

from tests.deploy.envoy_gateway_kinds import ClientTrafficPolicy, EnvoyExtensionPolicy, EnvoyPatchPolicy, SecurityPolicy
from tests.deploy.gateway_api_kinds import HttpRoute, ReferenceGrant
from tests.deploy.istio_kinds import AuthorizationPolicy, DestinationRule, EnvoyFilter
from tests.deploy.kinds import Part

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
