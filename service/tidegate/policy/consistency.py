"""What a schema cannot say: names that lead nowhere, endpoints that overlap, grants that can never be used."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from tidegate.admission.periods import time_zones
from tidegate.filtering.detectors import expand
from tidegate.filtering.pseudonyms import ALIKE
from tidegate.filtering.safety.categories import CATEGORIES
from tidegate.filtering.targets import ACTIVE_CONTENT, EXTERNAL_IMAGE, EXTERNAL_LINK
from tidegate.policy.asked import asked
from tidegate.policy.declared import Declared, refer, refer_one
from tidegate.policy.document import Path
from tidegate.policy.endpoints import Endpoint, Fields
from tidegate.policy.identity_names import audiences, check_identity
from tidegate.policy.limits import Limits, Quota
from tidegate.policy.list_names import check_lists, listed_entities
from tidegate.policy.pricing import check_prices, limits_of_tenant
from tidegate.policy.regions import check_regions
from tidegate.policy.request_names import check_requests
from tidegate.policy.routes import shape, variables
from tidegate.policy.safety_spotters import found_by
from tidegate.policy.schema import Document, Rule
from tidegate.policy.tenants import Denial, Grant, Tenant
from tidegate.policy.validate import Report
from tidegate.policy.words import chosen, entities


def check(document: Document, report: Report) -> None:
    """Report every inconsistency of a document that fits its schema."""
    data = report.tree.data
    names = Declared.of(data)
    floor = document.platform.floor
    refer("ruleset", floor.rulesets, names.rulesets, ("platform", "floor", "rulesets"), report)
    _check_limits(floor.limits, ("platform", "floor", "limits"), report)
    check_identity(document.platform.identity, names, report)
    for name, tier in document.tiers.items():
        refer("ruleset", tier.rulesets, names.rulesets, ("tiers", name, "rulesets"), report)
        _check_limits(tier.limits, ("tiers", name, "limits"), report)
    for name, classification in document.classifications.items():
        refer("ruleset", classification.rulesets, names.rulesets, ("classifications", name, "rulesets"), report)
    kinds = entities() | listed_entities(data)
    for name, rules in document.rulesets.items():
        for index, rule in enumerate(rules):
            _check_rule(rule, kinds, ("rulesets", name, index), report)
    for name, tenant in document.tenants.items():
        _check_tenant(name, tenant, document, names, report)
    guarded, accepted = _guarded_links(document), audiences(document.platform.identity)
    for name, endpoint in document.endpoints.items():
        _check_endpoint(name, endpoint, names, report)
        refer("audience", endpoint.audiences, accepted, ("endpoints", name, "audiences"), report)
        _check_platforms_part(name, endpoint, guarded, document, names, report)
    check_lists(document, data, report)
    check_requests(document, data, report)
    check_regions(document, report)
    _check_safety(document, report)
    _check_overlap(document, report)
    check_prices(document, report)


def _check_rule(rule: Rule, kinds: Collection[str], path: Path, report: Report) -> None:
    refer("kind of value", rule.detect, kinds, (*path, "detect"), report)
    _check_pseudonym(rule, path, report)
    if rule.act == "drop" and ACTIVE_CONTENT in rule.detect:
        report.at((*path, "act"), "what stands around ACTIVE_CONTENT could grow together to some: redact or mask it")


def _check_tenant(name: str, tenant: Tenant, document: Document, names: Declared, report: Report) -> None:
    floor = {limit.name for limit in document.platform.floor.limits}
    for path, limits in limits_of_tenant(name, tenant):
        _check_limits(limits, path, report, floor)
    sections: Mapping[str, Sequence[Grant | Denial]] = {"grants": tenant.grants, "denies": tenant.denies}
    for section, listed in sections.items():
        for index, grant in enumerate(listed):
            _check_grant(name, grant, ("tenants", name, section, index), document, names, report)
    if tenant.reveal is not None and tenant.reveal.entities != "*":
        refer("kind of value", tenant.reveal.entities, entities(), ("tenants", name, "reveal", "entities"), report)


def _check_platforms_part(
    name: str, endpoint: Endpoint, guarded: str, document: Document, names: Declared, report: Report
) -> None:
    """Whether the platform lets an endpoint have what it wants. `guarded` is what the floor looks for in links."""
    path, platform = ("endpoints", name), document.platform
    if endpoint.anonymous is not None:
        _check_anonymous(endpoint, endpoint.anonymous.tier, path, document, names, report)
    if platform.floor.rulesets and platform.floor.unscannable != "pass":
        first = "unread: set platform.floor.unscannable: pass first"
        if endpoint.unscannable == "pass":
            report.at((*path, "unscannable"), f"would let responses pass the floor's rulesets {first}")
        if endpoint.fields is not None and endpoint.fields != Fields():
            report.at((*path, "fields"), f"would let fields pass the floor's rulesets {first}")
    if endpoint.links is not None and endpoint.links.hosts and guarded:
        message = f"the floor's rulesets look for {guarded}: list the hosts in the platform's links"
        report.at((*path, "links", "hosts"), message)
    if endpoint.context_audience is not None and platform.context_token is None and report.whole:
        report.at((*path, "context_audience"), "there are no context tokens: give platform.context_token")
    _check_limits(endpoint.limits, (*path, "limits"), report, {limit.name for limit in platform.floor.limits})


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
            refer_one("time zone", limit.time_zone, time_zones(), (*path, index, "time_zone"), report)


def _check_grant(
    tenant: str, grant: Grant | Denial, path: Path, document: Document, names: Declared, report: Report
) -> None:
    endpoints, listed = document.endpoints, chosen(grant.endpoints)
    for index, name in enumerate(grant.endpoints if listed is not None else ()):
        refer_one("endpoint", name, names.endpoints, (*path, "endpoints", index), report)
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
        refer("model", grant.models, offered, (*path, "models"), report)


def _reaches(tenant: str, endpoint: Endpoint) -> bool:
    shared = endpoint.shared_with
    return tenant == endpoint.owner or (shared is not None and (shared == "*" or tenant in shared))


def _check_endpoint(name: str, endpoint: Endpoint, names: Declared, report: Report) -> None:
    path: Path = ("endpoints", name)
    refer_one("tenant", endpoint.owner, names.tenants, (*path, "owner"), report)
    if endpoint.shared_with is not None and endpoint.shared_with != "*":
        refer("tenant", endpoint.shared_with, names.tenants, (*path, "shared_with"), report)
    if endpoint.classification is not None:
        known = names.classifications
        refer_one("classification", endpoint.classification, known, (*path, "classification"), report)
    refer("ruleset", endpoint.rulesets, names.rulesets, (*path, "rulesets"), report)
    if endpoint.capacity is not None and (endpoint.capacity.reserve or 0) >= endpoint.capacity.concurrent:
        report.at((*path, "capacity", "reserve"), "must be less than concurrent, or nobody else gets a place")
    if endpoint.model is not None:
        for tier in endpoint.model.allowed:
            refer_one("tier", tier, names.tiers, (*path, "model", "allowed", tier), report, key=True)
        kind, _, rest = endpoint.model.source.partition(".")
        if kind == "path":
            known = variables(endpoint.match.path)
            refer_one("variable of the path", rest, known, (*path, "model", "from"), report)


def _check_anonymous(
    endpoint: Endpoint, tier: str, path: Path, document: Document, names: Declared, report: Report
) -> None:
    """What lets everybody in is at least counted by address, and asks for nothing that nobody without a token has."""
    refer_one("tier", tier, names.tiers, (*path, "anonymous", "tier"), report)
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
