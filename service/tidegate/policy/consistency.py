"""What a schema cannot say: names that lead nowhere, endpoints that overlap, grants that can never be used."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from tidegate.admission.periods import time_zones
from tidegate.filtering.detectors import expand
from tidegate.filtering.pseudonyms import ALIKE
from tidegate.filtering.safety.categories import CATEGORIES
from tidegate.filtering.targets import ACTIVE_CONTENT, EXTERNAL_IMAGE, EXTERNAL_LINK
from tidegate.policy.asked import asked
from tidegate.policy.credentials import (
    Claims,
    IdentityMethods,
    Introspection,
    Issuer,
    RoutedIntrospection,
    SharedSecret,
)
from tidegate.policy.document import Path
from tidegate.policy.endpoints import Endpoint, Fields
from tidegate.policy.limits import Limits, Quota
from tidegate.policy.list_names import check_lists, listed_entities
from tidegate.policy.pricing import check_prices, limits_of_tenant
from tidegate.policy.regions import check_regions
from tidegate.policy.request_names import check_requests
from tidegate.policy.routes import shape, variables
from tidegate.policy.safety_spotters import found_by
from tidegate.policy.schema import Document, Rule
from tidegate.policy.tenants import Denial, Grant
from tidegate.policy.validate import Report, suggestion
from tidegate.policy.words import chosen, entities


@dataclass(frozen=True, slots=True)
class _Names:
    """Every name that the document declares, those of faulty parts included."""

    tiers: Collection[str]
    classifications: Collection[str]
    rulesets: Collection[str]
    tenants: Collection[str]
    endpoints: Collection[str]


def check(document: Document, report: Report) -> None:
    """Report every inconsistency of a document that fits its schema."""
    data = report.tree.data
    names = _Names(
        **{
            section: _declared(data, section)
            for section in ("tiers", "classifications", "rulesets", "tenants", "endpoints")
        }
    )
    floor = {limit.name for limit in document.platform.floor.limits}
    unread = not document.platform.floor.rulesets or document.platform.floor.unscannable == "pass"
    guarded = _guarded_links(document)
    identity = document.platform.identity
    trusted: list[Issuer | SharedSecret] = [*identity.issuers, *identity.shared_secrets]
    accepted = {audience for issuer in trusted for audience in issuer.audiences}
    accepted.update(identity.introspection.audiences if identity.introspection else ())
    accepted.update(audience for one in identity.introspections for audience in one.audiences)
    _check_platform(document, names, report)
    for name, tier in document.tiers.items():
        _refer("ruleset", tier.rulesets, names.rulesets, ("tiers", name, "rulesets"), report)
        _check_limits(tier.limits, ("tiers", name, "limits"), report)
    for name, classification in document.classifications.items():
        _refer("ruleset", classification.rulesets, names.rulesets, ("classifications", name, "rulesets"), report)
    kinds = entities() | listed_entities(data)
    for name, rules in document.rulesets.items():
        for index, rule in enumerate(rules):
            _refer("kind of value", rule.detect, kinds, ("rulesets", name, index, "detect"), report)
            _check_pseudonym(rule, ("rulesets", name, index), report)
            if rule.act == "drop" and ACTIVE_CONTENT in rule.detect:
                message = "what stands around ACTIVE_CONTENT could grow together to some: redact or mask it"
                report.at(("rulesets", name, index, "act"), message)
    for name, tenant in document.tenants.items():
        for path, limits in limits_of_tenant(name, tenant):
            _check_limits(limits, path, report, floor)
        for index, grant in enumerate(tenant.grants):
            _check_grant(name, grant, ("tenants", name, "grants", index), document, names, report)
        if tenant.reveal is not None and tenant.reveal.entities != "*":
            _refer("kind of value", tenant.reveal.entities, entities(), ("tenants", name, "reveal", "entities"), report)
        for index, deny in enumerate(tenant.denies):
            _check_grant(name, deny, ("tenants", name, "denies", index), document, names, report)
    for name, endpoint in document.endpoints.items():
        _check_endpoint(name, endpoint, names, report)
        _refer("audience", endpoint.audiences, accepted, ("endpoints", name, "audiences"), report)
        if endpoint.anonymous is not None:
            _check_anonymous(endpoint, endpoint.anonymous.tier, ("endpoints", name), document, names, report)
        if endpoint.unscannable == "pass" and not unread:
            message = "would let responses pass the floor's rulesets unread: set platform.floor.unscannable: pass first"
            report.at(("endpoints", name, "unscannable"), message)
        if endpoint.links is not None and endpoint.links.hosts and guarded:
            message = f"the floor's rulesets look for {guarded}: list the hosts in the platform's links"
            report.at(("endpoints", name, "links", "hosts"), message)
        if endpoint.fields is not None and endpoint.fields != Fields() and not unread:
            message = "would let fields pass the floor's rulesets unread: set platform.floor.unscannable: pass first"
            report.at(("endpoints", name, "fields"), message)
        if endpoint.context_audience is not None and document.platform.context_token is None and report.whole:
            report.at(
                ("endpoints", name, "context_audience"), "there are no context tokens: give platform.context_token"
            )
        _check_limits(endpoint.limits, ("endpoints", name, "limits"), report, floor)
    check_lists(document, data, report)
    check_requests(document, data, report)
    check_regions(document, report)
    _check_safety(document, report)
    _check_overlap(document, report)
    check_prices(document, report)


def _guarded_links(document: Document) -> str:
    """What the floor looks for in links, which an endpoint cannot allow."""
    rules = [rule for name in document.platform.floor.rulesets for rule in document.rulesets.get(name, ())]
    found = {kind for rule in rules for kind in rule.detect} & {EXTERNAL_IMAGE, EXTERNAL_LINK}
    return " and ".join(sorted(found))


def _check_pseudonym(rule: Rule, path: Path, report: Report) -> None:
    for key, given in (("scope", rule.scope), ("form", rule.form)):
        if given is not None and rule.act != "pseudonymize":
            report.at((*path, key), "is for act: pseudonymize alone")
    if rule.reversible and rule.act != "pseudonymize":
        report.at((*path, "reversible"), "is for act: pseudonymize alone")
    if rule.reversible and rule.form == "alike":
        report.at((*path, "reversible"), "a pseudonym that looks like its value has no room for it: form: token")
    if rule.form == "alike" and (plain := sorted(expand(rule.detect) - ALIKE.keys())):
        report.at((*path, "form"), f"alike is not known for {', '.join(plain[:3])}")


def _check_safety(document: Document, report: Report) -> None:
    unjudged = frozenset(CATEGORIES) - found_by(document.content_safety)
    for name, path in asked(document):
        if name in unjudged:
            report.at(path, f"nothing in content_safety judges {name}: name classifier there, which does")


def _declared(data: Any, section: str) -> Collection[str]:
    found = data.get(section) if isinstance(data, dict) else None
    return found if isinstance(found, dict) else ()


def _refer(kind: str, used: Sequence[str], known: Collection[str], path: Path, report: Report) -> None:
    for index, name in enumerate(used):
        _refer_one(kind, name, known, (*path, index), report)


def _refer_one(kind: str, name: str, known: Collection[str], path: Path, report: Report, *, key: bool = False) -> None:
    if name not in known:
        report.at(path, f"unknown {kind} {name!r}{suggestion(name, known)}", key=key)


def _check_limits(limits: Limits, path: Path, report: Report, floor: Collection[str] = ()) -> None:
    seen: set[str] = set()
    for index, limit in enumerate(limits):
        if limit.name in seen:
            report.at((*path, index, "name"), f"a second limit named {limit.name!r} in this list")
        elif limit.name in floor:
            report.at(
                (*path, index, "name"),
                f"the platform's floor has a limit named {limit.name!r}, which can be added to but not replaced: "
                "choose another name",
            )
        seen.add(limit.name)
        if isinstance(limit, Quota):
            _refer_one("time zone", limit.time_zone, time_zones(), (*path, index, "time_zone"), report)


def _check_platform(document: Document, names: _Names, report: Report) -> None:
    floor, identity = document.platform.floor, document.platform.identity
    _refer("ruleset", floor.rulesets, names.rulesets, ("platform", "floor", "rulesets"), report)
    _check_limits(floor.limits, ("platform", "floor", "limits"), report)
    seen: dict[str, set[str | None]] = {"name": set(), "issuer": set()}
    sections: dict[str, Sequence[Issuer | SharedSecret]] = {
        "issuers": identity.issuers,
        "shared_secrets": identity.shared_secrets,
    }
    for section, listed in sections.items():
        for index, issuer in enumerate(listed):
            path: Path = ("platform", "identity", section, index)
            for key, value in (("name", issuer.name), ("issuer", issuer.issuer)):
                if value in seen[key]:
                    whose = "without an issuer" if value is None else f"for the issuer {value!r}"
                    report.at(path if value is None else (*path, key), f"a second entry {whose}")
                seen[key].add(value)
            _check_claims(issuer.claims, path, names, report)
    _check_introspection(identity, seen["name"], names, report)
    ids: set[str] = set()
    for index, workload in enumerate(identity.workloads):
        path = ("platform", "identity", "workloads", index)
        if workload.id in ids:
            report.at((*path, "id"), f"a second entry for {workload.id!r}")
        ids.add(workload.id)
        _refer_one("tenant", workload.tenant, names.tenants, (*path, "tenant"), report)
        _refer_one("tier", workload.tier, names.tiers, (*path, "tier"), report)
        _refer("endpoint", workload.endpoints or (), names.endpoints, (*path, "endpoints"), report)
    if identity.xfcc_from and not identity.workloads:
        report.at(("platform", "identity", "xfcc_from"), "there are no workloads that they could name")


def _check_introspection(identity: IdentityMethods, seen: set[str | None], names: _Names, report: Report) -> None:
    """No name is another's, and no token has two that may be asked."""
    within: Path = ("platform", "identity")
    every: list[tuple[Path, Introspection]] = []
    if identity.introspection is not None:
        every.append(((*within, "introspection"), identity.introspection))
    every += [((*within, "introspections", index), one) for index, one in enumerate(identity.introspections)]
    taken: dict[tuple[str, str], str] = {}
    for path, one in every:
        if one.name in seen:
            report.at((*path, "name"), f"a second entry for the issuer {one.name!r}")
        seen.add(one.name)
        _check_claims(one.claims, path, names, report)
        if isinstance(one, RoutedIntrospection):
            _refer("endpoint", one.endpoints, names.endpoints, (*path, "endpoints"), report)
            for kind in ("prefixes", "endpoints"):
                for index, value in enumerate(getattr(one, kind)):
                    if (other := taken.setdefault((kind, value), one.name)) != one.name:
                        report.at((*path, kind, index), f"{value!r} is {other!r}'s already")


def _check_claims(claims: Claims, path: Path, names: _Names, report: Report) -> None:
    defaults = claims.defaults
    if defaults.tenant is not None:
        _refer_one("tenant", defaults.tenant, names.tenants, (*path, "claims", "defaults", "tenant"), report)
    if defaults.tier is not None:
        _refer_one("tier", defaults.tier, names.tiers, (*path, "claims", "defaults", "tier"), report)
    for key in ("tenant", "tier"):
        if report.whole and getattr(claims, key) is None and getattr(defaults, key) is None:
            report.at((*path, "claims"), f"no {key}: none of its tokens could be used; give {key} or defaults.{key}")


def _check_grant(
    tenant: str, grant: Grant | Denial, path: Path, document: Document, names: _Names, report: Report
) -> None:
    endpoints, listed = document.endpoints, chosen(grant.endpoints)
    for index, name in enumerate(grant.endpoints if listed is not None else ()):
        _refer_one("endpoint", name, names.endpoints, (*path, "endpoints", index), report)
        endpoint = endpoints.get(name)
        if endpoint is not None and endpoint.owner in names.tenants and not _reaches(tenant, endpoint):
            message = f"endpoint {name!r} neither belongs to tenant {tenant!r} nor is shared with it"
            report.at((*path, "endpoints", index), message)
    if grant.models == "*" or not report.whole:
        return
    offered: set[str] = set()
    for name in endpoints if listed is None else listed & endpoints.keys():
        model = endpoints[name].model
        if model is not None and _reaches(tenant, endpoints[name]):
            offered.update(*model.allowed.values())
    if "*" not in offered:
        _refer("model", grant.models, offered, (*path, "models"), report)


def _reaches(tenant: str, endpoint: Endpoint) -> bool:
    shared = endpoint.shared_with
    return tenant == endpoint.owner or (shared is not None and (shared == "*" or tenant in shared))


def _check_endpoint(name: str, endpoint: Endpoint, names: _Names, report: Report) -> None:
    path: Path = ("endpoints", name)
    _refer_one("tenant", endpoint.owner, names.tenants, (*path, "owner"), report)
    if endpoint.shared_with is not None and endpoint.shared_with != "*":
        _refer("tenant", endpoint.shared_with, names.tenants, (*path, "shared_with"), report)
    if endpoint.classification is not None:
        known = names.classifications
        _refer_one("classification", endpoint.classification, known, (*path, "classification"), report)
    _refer("ruleset", endpoint.rulesets, names.rulesets, (*path, "rulesets"), report)
    if endpoint.capacity is not None and (endpoint.capacity.reserve or 0) >= endpoint.capacity.concurrent:
        report.at((*path, "capacity", "reserve"), "must be less than concurrent, or nobody else gets a place")
    if endpoint.model is not None:
        for tier in endpoint.model.allowed:
            _refer_one("tier", tier, names.tiers, (*path, "model", "allowed", tier), report, key=True)
        kind, _, rest = endpoint.model.source.partition(".")
        if kind == "path":
            known = variables(endpoint.match.path)
            _refer_one("variable of the path", rest, known, (*path, "model", "from"), report)


def _check_anonymous(
    endpoint: Endpoint, tier: str, path: Path, document: Document, names: _Names, report: Report
) -> None:
    """What lets everybody in is at least counted by address, and asks for nothing that nobody without a token has."""
    _refer_one("tier", tier, names.tiers, (*path, "anonymous", "tier"), report)
    for key in ("scopes", "audiences"):
        if getattr(endpoint, key):
            report.at((*path, key), "nobody without a credential has any: leave it out, or anonymous", key=True)
    limits = [*document.platform.floor.limits, *endpoint.limits]
    if report.whole and not any("client_ip" in limit.per and not limit.shadow for limit in limits):
        report.at((*path, "anonymous"), "no limit per client_ip: give one in the endpoint's limits or in the floor's")


def _check_overlap(document: Document, report: Report) -> None:
    taken: dict[tuple[str, str, str], str] = {}
    for name, endpoint in document.endpoints.items():
        if any(("endpoints", name, "match", key) not in report.origin for key in ("hosts", "path", "methods")):
            continue
        match = endpoint.match
        others: dict[str, str] = {}
        for host in match.hosts:
            for method in match.methods:
                other = taken.setdefault((host, shape(match.path), method), name)
                if other != name:
                    others.setdefault(other, f"{method} {host} {match.path}")
        for other, where in others.items():
            report.at(("endpoints", name, "match"), f"{where} already belongs to endpoint {other!r}", key=True)
