"""A checked document to the frozen `compiled.Policy`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tidegate.filtering.detectors import expand
from tidegate.filtering.grounding import GroundingSpotter
from tidegate.model import Limit
from tidegate.policy import compiled, schema, tenants
from tidegate.policy.compile_endpoints import allowed_of, endpoint_of, markup_of
from tidegate.policy.compile_identity import (
    context_token_of,
    dpop_of,
    introspection_of,
    issuer_of,
    revocation_of,
    routed_introspection_of,
    shared_secret_of,
    workload_of,
)
from tidegate.policy.compile_limits import limits_of, prices_of
from tidegate.policy.compile_rules import ruleset_of
from tidegate.policy.compiled_identity import ApiKeys
from tidegate.policy.compiled_lists import PLATFORM
from tidegate.policy.conditions import condition
from tidegate.policy.materials import Materials
from tidegate.policy.words import chosen
from tidegate.policy.workloads import Workloads

VERSION_LENGTH = 12


def compile_policy(
    document: schema.Document,
    data: Any,
    base: Path,
    materials: Materials,
) -> compiled.Policy:
    """Build the policy. `data` is the document before it was typed.

    Secrets are no part of the version, which is published.
    """
    platform = document.platform
    keys, opaque = platform.identity.api_keys, platform.identity.introspection
    classifications = {name: tuple(item.rulesets) for name, item in document.classifications.items()}
    floor = tuple(platform.floor.rulesets)
    currency = "" if document.prices is None else document.prices.currency
    rulesets = {name: ruleset_of(name, rules, document) for name, rules in document.rulesets.items()}
    return compiled.Policy(
        version=_version(data, materials.contents()),
        api_keys=None if keys is None else ApiKeys(keys.header, base / keys.file if keys.file else None),
        issuers=tuple(issuer_of(issuer, materials.keysets) for issuer in platform.identity.issuers),
        floor_rulesets=floor,
        floor_limits=limits_of("platform", platform.floor.limits, currency),
        tiers=MappingProxyType(
            {
                name: compiled.Tier(name, tier.weight, tier.priority, limits_of(f"tier:{name}", tier.limits, currency))
                for name, tier in document.tiers.items()
            }
        ),
        tenants=MappingProxyType({name: _tenant(name, tenant, currency) for name, tenant in document.tenants.items()}),
        endpoints=tuple(
            endpoint_of(name, endpoint, floor, classifications, document, currency, materials)
            for name, endpoint in document.endpoints.items()
        ),
        rulesets=MappingProxyType(rulesets),
        store=compiled.StorePolicy(platform.limits_store.on_outage),
        trusted_hops=platform.trusted_hops,
        prices=compiled.Prices() if document.prices is None else prices_of(document.prices),
        tier_rulesets=MappingProxyType({name: tuple(tier.rulesets) for name, tier in document.tiers.items()}),
        classifications=MappingProxyType(classifications),
        shared_secrets=tuple(
            shared_secret_of(issuer, materials.secrets) for issuer in platform.identity.shared_secrets
        ),
        introspection=None if opaque is None else introspection_of(opaque, materials.secrets),
        introspections=tuple(
            routed_introspection_of(one, materials.secrets) for one in platform.identity.introspections
        ),
        workloads=Workloads(tuple(workload_of(workload) for workload in platform.identity.workloads)),
        xfcc_from=frozenset(platform.identity.xfcc_from),
        audit_required=platform.audit.required,
        spotters=(*materials.listed.deny.get(PLATFORM, ()), *materials.spotters),
        loose_spotters=(GroundingSpotter(), markup_of(document.links)),
        allowed=allowed_of(PLATFORM, floor, document, materials.listed),
        dpop=dpop_of(platform.identity.dpop),
        heartbeat=platform.heartbeat,
        context_token=None
        if platform.context_token is None
        else context_token_of(platform.context_token, materials.signing_keys),
        revocation=None if platform.revocation is None else revocation_of(platform.revocation, base),
    )


def _version(data: Any, files: Iterable[tuple[str, bytes]]) -> str:
    """A hash that layout and comments of the document do not change, and everything it says does."""
    digest = hashlib.sha256(json.dumps(data, sort_keys=True, separators=(",", ":")).encode())
    for name, content in sorted(files):
        digest.update(hashlib.sha256(name.encode()).digest())
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()[:VERSION_LENGTH]


def _tenant(name: str, tenant: tenants.Tenant, currency: str) -> compiled.Tenant:
    grants, denies = (tuple(_grant(grant) for grant in listed) for listed in (tenant.grants, tenant.denies))
    subjects = {
        subject: _of_subject(limits_of(f"subject:{name}/{subject}", own.limits, currency))
        for subject, own in tenant.subjects.items()
    }
    limits_ = limits_of(f"tenant:{name}", tenant.limits, currency)
    reveal = None if tenant.reveal is None else _reveal(name, tenant.reveal)
    return compiled.Tenant(name, grants, limits_, MappingProxyType(subjects), tenant.weight, denies, reveal)


def _reveal(tenant: str, reveal: tenants.Reveal) -> compiled.Reveal:
    tokens, period = reveal.rate
    limit = Limit(f"tenant:{tenant}", "reveal calls", "token_bucket", tokens, period, tokens, ("subject",))
    found = None if reveal.entities == "*" else expand(reveal.entities)
    return compiled.Reveal(frozenset(reveal.roles), frozenset(reveal.scopes), found, limit)


def _grant(grant: tenants.Grant | tenants.Denial) -> compiled.Grant:
    when = None if grant.when is None else condition(grant.when)
    return compiled.Grant(grant.role, chosen(grant.endpoints), chosen(grant.methods), chosen(grant.models), when)


def _of_subject(limits_: tuple[Limit, ...]) -> tuple[Limit, ...]:
    """Counted by subject, and so within the tenant, whatever else they count by."""
    return tuple(replace(limit, per=tuple(dict.fromkeys(("subject", *limit.per)))) for limit in limits_)
