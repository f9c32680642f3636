"""May this identity make this request? Pure: it reads a policy, an identity and a request, and nothing else.

Nothing is allowed that a policy does not say. A request needs an endpoint that answers it, a tenant that owns the
endpoint or was lent it, one grant of the caller's role that covers endpoint, method and model together, a credential
that is for the endpoint, every scope of the endpoint, and a model that the caller's tier may use. An endpoint that lets
callers without a credential in asks no grant of them. What one of the tenant's denies covers is refused, whatever is
granted.

A refusal names its `Rule`: those before it in the enumeration held, those after it were not looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Literal

from tidegate.model import ANONYMOUS, Deny, Identity, Limit, Reason, Request
from tidegate.policy.compiled import Endpoint, Grant, ModelRule, Policy, Tenant
from tidegate.policy.routes import bind
from tidegate.requested_model import requested_model

_NO_VARIABLES: Mapping[str, str] = MappingProxyType({})


class Rule(StrEnum):
    """What a request must pass, in the order in which it is asked."""

    ENDPOINT = "endpoint"
    METHOD = "method"
    TENANT = "tenant"
    TIER = "tier"
    OWNERSHIP = "ownership"
    DENIES = "denies"
    CREDENTIAL = "credential"
    GRANTS = "grants"
    CREDENTIAL_ENDPOINTS = "endpoints of the credential"
    AUDIENCES = "audiences"
    SCOPES = "scopes"
    MODEL = "model"
    MODEL_DENIES = "denies of models"
    TIER_MODELS = "models of the tier"
    GRANT_MODELS = "grants of models"


@dataclass(frozen=True, slots=True)
class Access:
    """What a request may reach, what it is charged against, and what its response must pass.

    `limits` are the floor's, the tier's, the tenant's, the subject's, then the endpoint's; `rulesets` the floor's, the
    classification's, the tier's, then the endpoint's own, each named once. `model` is "" where requests name none.
    """

    endpoint: Endpoint
    model: str
    rulesets: tuple[str, ...]
    limits: tuple[Limit, ...]


def find_endpoint(policy: Policy, host: str, path: str, method: str = "") -> tuple[Endpoint, Mapping[str, str]] | None:
    """The endpoint for a host and path, with the values of its path's variables.

    Where several share the path and differ in methods, the one for `method`, or else the first.
    """
    found = policy.routes.match(host, path)
    if not found:
        return None
    endpoint = found[0]
    for candidate in found:
        if method in candidate.methods:
            endpoint = candidate
            break
    return endpoint, bind(endpoint.path, path) if "{" in endpoint.path else _NO_VARIABLES


def authorize(policy: Policy, identity: Identity, request: Request) -> Access | Deny:
    """The verdict on one authenticated request. Never raises, whatever the request holds."""
    found = find_endpoint(policy, request.host, request.path, request.method)
    if found is None:
        return Deny(404, Reason.ENDPOINT_UNKNOWN, "There is no such endpoint.", rule=Rule.ENDPOINT)
    endpoint, variables = found
    if request.method not in endpoint.methods:
        return _method_not_allowed(policy, request)

    tenant = policy.tenants.get(identity.tenant)
    if tenant is None:
        return _no_access(Rule.TENANT, f"tenant {identity.tenant!r} is not in the policy")
    if identity.tier not in policy.tiers:
        return _no_access(Rule.TIER, f"tier {identity.tier!r} is not in the policy")
    if tenant.name != endpoint.owner and tenant.name not in endpoint.shared_with:
        return _no_access(Rule.OWNERSHIP, f"endpoint {endpoint.name!r} does not belong to tenant {tenant.name!r}")
    denies = _denies(tenant, identity, endpoint, request) if tenant.denies else ()
    if denies and [deny for deny in denies if deny.models is None]:
        return _no_access(Rule.DENIES, f"a deny covers {request.method} on endpoint {endpoint.name!r}")
    grants = [
        grant
        for role in identity.roles
        for grant in tenant.by_role.get(role, ())
        if not shortfall(grant, endpoint.name, identity, request)
    ]
    anonymous = identity.method == ANONYMOUS
    if anonymous and not endpoint.anonymous:
        return _no_access(Rule.CREDENTIAL, f"endpoint {endpoint.name!r} needs a credential")
    if not grants and not anonymous:
        return _no_access(Rule.GRANTS, f"no grant covers {request.method} on endpoint {endpoint.name!r}")
    if identity.endpoints is not None and endpoint.name not in identity.endpoints:
        return _no_access(Rule.CREDENTIAL_ENDPOINTS, f"the credential is not for endpoint {endpoint.name!r}")
    if endpoint.audiences and identity.audiences is not None and not endpoint.audiences & identity.audiences:
        return _no_access(Rule.AUDIENCES, f"the token is not for endpoint {endpoint.name!r}")
    if not endpoint.scopes <= identity.scopes:
        return _scope_insufficient(endpoint)

    model = ""
    if endpoint.model is not None:
        extracted = requested_model(endpoint.model, request, variables)
        if isinstance(extracted, Deny):
            return replace(extracted, rule=Rule.MODEL)
        model = extracted
        if denies and [deny for deny in denies if covers_model(deny, model)]:
            return _no_access(Rule.MODEL_DENIES, f"a deny covers model {model!r} on endpoint {endpoint.name!r}")
        if not tier_allows(endpoint.model, identity.tier, model):
            message = f"Model {model!r} is not available to tier {identity.tier!r}."
            return Deny(403, Reason.MODEL_NOT_ALLOWED, message, rule=Rule.TIER_MODELS)
    if not anonymous and not [grant for grant in grants if covers_model(grant, model)]:
        return _no_access(Rule.GRANT_MODELS, f"no grant covers model {model!r} on endpoint {endpoint.name!r}")

    return Access(
        endpoint=endpoint,
        model=model,
        rulesets=policy.passes[endpoint.name, identity.tier],
        limits=policy.limits_of(tenant.name, identity.tier, identity.subject) + endpoint.limits,
    )


def shortfall(
    grant: Grant, endpoint: str, identity: Identity, request: Request, *, unknown: bool = False
) -> Literal["", "endpoints", "methods", "condition"]:
    """What keeps a grant, or a deny, from covering a request to an endpoint; "" when it covers it, models apart.

    `unknown` is whether a condition that cannot be evaluated holds: that of a deny does, so that in doubt nobody may.
    """
    if grant.endpoints is not None and endpoint not in grant.endpoints:
        return "endpoints"
    if grant.methods is not None and request.method not in grant.methods:
        return "methods"
    if grant.when is not None and not grant.when.holds(identity, request, endpoint, unknown=unknown):
        return "condition"
    return ""


def covers_model(grant: Grant, model: str) -> bool:
    """Whether a grant, or a deny, covers a model; "" where the request names none, which a list does not cover."""
    return grant.models is None or model in grant.models


def concerns(deny: Grant, roles: frozenset[str]) -> bool:
    """Whether a deny is for a caller of these roles."""
    return deny.role == "*" or deny.role in roles


def _denies(tenant: Tenant, identity: Identity, endpoint: Endpoint, request: Request) -> list[Grant]:
    """The denies that cover a request, or would if it asked for one of their models."""
    return [
        deny
        for deny in tenant.denies
        if concerns(deny, identity.roles) and not shortfall(deny, endpoint.name, identity, request, unknown=True)
    ]


def tier_allows(rule: ModelRule, tier: str, model: str) -> bool:
    """Whether a rule lets a tier use a model."""
    allowed = rule.allowed.get(tier)
    return allowed is not None and (model in allowed or "*" in allowed)


def _method_not_allowed(policy: Policy, request: Request) -> Deny:
    methods = {method for e in policy.routes.match(request.host, request.path) for method in e.methods}
    headers = (("allow", ", ".join(sorted(methods))),)
    message = "This endpoint does not answer the request's method."
    return Deny(405, Reason.METHOD_NOT_ALLOWED, message, headers, rule=Rule.METHOD)


def _no_access(rule: Rule, detail: str) -> Deny:
    """One answer for every cause, so that it tells nobody which tenants, roles and grants there are."""
    return Deny(403, Reason.ACCESS_DENIED, "You may not use this endpoint in this way.", detail=detail, rule=rule)


def _scope_insufficient(endpoint: Endpoint) -> Deny:
    scope = " ".join(sorted(endpoint.scopes))
    challenge = f'Bearer realm="tidegate", error="insufficient_scope", scope="{scope}"'
    message = "The credential lacks a scope that this endpoint needs."
    return Deny(403, Reason.SCOPE_INSUFFICIENT, message, (("www-authenticate", challenge),), rule=Rule.SCOPES)
