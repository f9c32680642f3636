"""A checked document to the frozen `compiled.Policy`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tidegate.admission.periods import NOMINAL
from tidegate.admission.queue.terms import Capacity
from tidegate.filtering.allow_list import Allowed
from tidegate.filtering.detectors import expand
from tidegate.filtering.grounding import GroundingSpotter
from tidegate.filtering.markup import MarkupSpotter
from tidegate.filtering.pseudonyms import Pseudonym
from tidegate.filtering.ruleset import Action, Rule, Ruleset
from tidegate.filtering.safety.categories import CATEGORIES
from tidegate.filtering.selection import selection_of
from tidegate.filtering.structure import demand
from tidegate.filtering.urls import Hosts
from tidegate.inbound.checks import Injection, RequestChecks
from tidegate.model import Limit, Price
from tidegate.policy import (
    capacity,
    compiled,
    endpoints,
    limits,
    prices,
    requests,
    schema,
    structures,
    tenants,
)
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
from tidegate.policy.compiled_identity import ApiKeys
from tidegate.policy.compiled_lists import PLATFORM, Listed
from tidegate.policy.conditions import condition
from tidegate.policy.materials import Materials
from tidegate.policy.safety_spotters import found_by
from tidegate.policy.schemas import Schemas
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
    rulesets = {name: _ruleset(name, rules, document) for name, rules in document.rulesets.items()}
    return compiled.Policy(
        version=_version(data, materials.contents()),
        api_keys=None if keys is None else ApiKeys(keys.header, base / keys.file if keys.file else None),
        issuers=tuple(issuer_of(issuer, materials.keysets) for issuer in platform.identity.issuers),
        floor_rulesets=floor,
        floor_limits=_limits("platform", platform.floor.limits, currency),
        tiers=MappingProxyType(
            {
                name: compiled.Tier(name, tier.weight, tier.priority, _limits(f"tier:{name}", tier.limits, currency))
                for name, tier in document.tiers.items()
            }
        ),
        tenants=MappingProxyType({name: _tenant(name, tenant, currency) for name, tenant in document.tenants.items()}),
        endpoints=tuple(
            _endpoint(name, endpoint, floor, classifications, document, currency, materials)
            for name, endpoint in document.endpoints.items()
        ),
        rulesets=MappingProxyType(rulesets),
        store=compiled.StorePolicy(platform.limits_store.on_outage),
        trusted_hops=platform.trusted_hops,
        prices=compiled.Prices() if document.prices is None else _prices(document.prices),
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
        loose_spotters=(GroundingSpotter(), _markup(document.links)),
        allowed=_allowed(PLATFORM, floor, document, materials.listed),
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


def _limits(scope: str, listed: limits.Limits, currency: str) -> tuple[Limit, ...]:
    return tuple(_limit(scope, limit, currency) for limit in listed)


def _limit(scope: str, limit: limits.AnyLimit, currency: str) -> Limit:
    match limit:
        case limits.TokenBucket(capacity=capacity, refill=(refill, period)):
            made = Limit(scope, limit.name, limit.algorithm, capacity, period, refill)
        case limits.Quota(limit=capacity, period=resets, time_zone=time_zone):
            period = NOMINAL[resets]
            made = Limit(scope, limit.name, limit.algorithm, capacity, period, resets=resets, time_zone=time_zone)
        case (
            limits.SlidingWindow(limit=capacity, window=period)
            | limits.SlidingWindowCounter(limit=capacity, window=period)
            | limits.Concurrency(limit=capacity, lease=period)
        ):
            made = Limit(scope, limit.name, limit.algorithm, capacity, period)
    of_money = currency if limit.cost == "money" else ""
    return replace(made, per=tuple(limit.per), cost=limit.cost, shadow=limit.shadow, currency=of_money)


def _prices(listed: prices.Prices) -> compiled.Prices:
    models = MappingProxyType({name: _price(price) for name, price in listed.models.items()})
    return compiled.Prices(listed.currency, models, None if listed.default is None else _price(listed.default))


def _price(price: prices.ModelPrice) -> Price:
    read, write = (price.prompt if own is None else own for own in (price.cache_read, price.cache_write))
    return Price(price.prompt, price.completion, read, write, price.request)


def _tenant(name: str, tenant: tenants.Tenant, currency: str) -> compiled.Tenant:
    grants, denies = (tuple(_grant(grant) for grant in listed) for listed in (tenant.grants, tenant.denies))
    subjects = {
        subject: _of_subject(_limits(f"subject:{name}/{subject}", own.limits, currency))
        for subject, own in tenant.subjects.items()
    }
    limits_ = _limits(f"tenant:{name}", tenant.limits, currency)
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


def _endpoint(
    name: str,
    endpoint: endpoints.Endpoint,
    floor: Sequence[str],
    classifications: Mapping[str, Sequence[str]],
    document: schema.Document,
    currency: str,
    materials: Materials,
) -> compiled.Endpoint:
    match, shared, fields = endpoint.match, endpoint.shared_with, endpoint.fields
    everyone = frozenset(document.tenants)
    classification = endpoint.classification or ""
    rulesets = (*floor, *classifications.get(classification, ()), *endpoint.rulesets)
    return compiled.Endpoint(
        name=name,
        owner=endpoint.owner,
        hosts=frozenset(match.hosts),
        path=match.path,
        methods=frozenset(match.methods),
        model=None if endpoint.model is None else _model(endpoint.model),
        anonymous=endpoint.anonymous.tier if endpoint.anonymous else "",
        scopes=frozenset(endpoint.scopes),
        audiences=frozenset(endpoint.audiences),
        shared_with=frozenset() if shared is None else everyone if shared == "*" else frozenset(shared),
        classification=classification,
        rulesets=tuple(dict.fromkeys(rulesets)),
        structure=None if endpoint.structure is None else _structure(name, endpoint.structure, materials.schemas),
        request=None if endpoint.request is None else _request(name, endpoint.request, document, materials.schemas),
        selection=None if fields is None else selection_of(fields.only, fields.skip, keys=fields.keys),
        limits=_limits(f"endpoint:{name}", endpoint.limits, currency),
        errors=endpoint.errors or ("openai" if match.path.startswith("/v1/") else "problem"),
        unscannable=endpoint.unscannable,
        max_response=endpoint.max_response,
        capacity=None if endpoint.capacity is None else _capacity(endpoint.capacity, document.tiers),
        conversation=endpoint.conversation or "",
        context_audience=endpoint.context_audience or "",
        spotters=(
            *materials.listed.deny.get(endpoint.owner, ()),
            *materials.prompts.spotters.get(name, ()),
            GroundingSpotter(),
            _markup(document.links, endpoint.links),
        ),
        allowed=_allowed(endpoint.owner, floor, document, materials.listed),
    )


def _markup(*links: endpoints.Links | None) -> MarkupSpotter:
    return MarkupSpotter(Hosts(host for part in links if part is not None for host in part.hosts))


def _allowed(owner: str, floor: Sequence[str], document: schema.Document, listed: Listed) -> Allowed | None:
    """The platform's lists and the owner's, which do not reach what the floor looks for."""
    of_floor = frozenset(entity for name in floor for rule in document.rulesets[name] for entity in expand(rule.detect))
    platform = listed.allow.get(PLATFORM, ())
    own = listed.allow.get(owner, ()) if owner != PLATFORM else ()
    return Allowed(platform, own, of_floor) if platform or own else None


def _structure(endpoint: str, given: structures.Structure, schemas: Schemas) -> demand.Structure:
    def shape(part: structures.Shape | None, *place: str) -> demand.Shape | None:
        return None if part is None else demand.Shape(schemas["endpoints", endpoint, "structure", *place], part.act)

    tools = {name: made for name, part in given.tools.items() if (made := shape(part, "tools", name)) is not None}
    others = given.other_tools or ("block" if tools else "pass")
    return demand.Structure(
        shape(given.body, "body"),
        shape(given.answer, "answer"),
        MappingProxyType(tools),
        None if others == "pass" else others,
    )


def _request(
    endpoint: str, given: requests.RequestChecks, document: schema.Document, schemas: Schemas
) -> RequestChecks:
    body = None
    if given.body is not None:
        body = demand.Shape(schemas["endpoints", endpoint, "request", "body"], given.body.act)
    own = Ruleset("request", tuple([_prompt_rule(rule, document) for rule in given.rules]))
    named = [_ruleset(name, document.rulesets[name], document) for name in given.rulesets]
    return RequestChecks(
        max_size=given.max_size,
        schema=body,
        rules=(own, *named),
        injection=None if given.injection is None else _injection(given.injection),
        other_types=given.other_types,
        compressed=given.compressed,
        shadow=given.shadow,
        tells=given.tell_upstream,
    )


def _injection(given: requests.Injection) -> Injection:
    from tidegate.inbound.injection.model import model

    model()  # read now, and not by the first request
    return Injection(given.threshold, given.act, frozenset(given.roles))


def _capacity(given: capacity.Capacity, tiers: Mapping[str, schema.Tier]) -> Capacity:
    reserve, concurrent = given.reserve, given.concurrent
    if reserve is None:
        critical = any(tier.priority == "critical" for tier in tiers.values())
        reserve = min(-(-concurrent // 8), concurrent - 1) if critical else 0
    return Capacity(concurrent, given.queue, given.max_wait, given.lease, reserve, given.cost)


def _model(rule: endpoints.ModelRule) -> compiled.ModelRule:
    kind, *locator = rule.source.split(".")
    allowed = MappingProxyType({tier: frozenset(models) for tier, models in rule.allowed.items()})
    if kind == "body":
        return compiled.ModelRule("body", tuple(locator), allowed)
    return compiled.ModelRule("header" if kind == "header" else "path", tuple(locator), allowed)


def _ruleset(name: str, rules: Sequence[schema.Rule], document: schema.Document) -> Ruleset:
    return Ruleset(name, tuple(_rule(rule, document) for rule in rules))


def _rule(rule: schema.Rule, document: schema.Document) -> Rule:
    pseudonym = Pseudonym(rule.scope or "response", alike=rule.form == "alike", reversible=rule.reversible)
    return Rule(_found(rule.detect, document), Action[rule.act.upper()], pseudonym, frozenset(rule.regions))


def _prompt_rule(rule: requests.PromptRule, document: schema.Document) -> Rule:
    found, regions = _found(rule.detect, document), frozenset(rule.regions)
    return Rule(found, Action[rule.act.upper()], regions=regions)


def _found(names: Sequence[str], document: schema.Document) -> frozenset[str]:
    """The kinds of value of a `detect`: of the group of content safety those that something judges."""
    return expand(names) - (frozenset(CATEGORIES) - found_by(document.content_safety))
