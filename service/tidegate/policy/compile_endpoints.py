"""One endpoint of a document to the one that requests are matched to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from tidegate.admission.queue.terms import Capacity
from tidegate.filtering.allow_list import Allowed
from tidegate.filtering.detectors import expand
from tidegate.filtering.grounding import GroundingSpotter
from tidegate.filtering.markup import MarkupSpotter
from tidegate.filtering.ruleset import Ruleset
from tidegate.filtering.selection import selection_of
from tidegate.filtering.structure import demand
from tidegate.filtering.urls import Hosts
from tidegate.inbound.checks import Injection, RequestChecks
from tidegate.policy import (
    capacity,
    compiled,
    endpoints,
    requests,
    schema,
    structures,
)
from tidegate.policy.compile_limits import limits_of
from tidegate.policy.compile_rules import prompt_rule_of, ruleset_of
from tidegate.policy.compiled_lists import PLATFORM, Listed
from tidegate.policy.materials import Materials
from tidegate.policy.schemas import Schemas


def endpoint_of(
    name: str,
    endpoint: endpoints.Endpoint,
    floor: Sequence[str],
    classifications: Mapping[str, Sequence[str]],
    document: schema.Document,
    currency: str,
    materials: Materials,
) -> compiled.Endpoint:
    """An endpoint with all that its responses must pass: rulesets of the floor, of its classification, and its own."""
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
        limits=limits_of(f"endpoint:{name}", endpoint.limits, currency),
        errors=endpoint.errors or ("openai" if match.path.startswith("/v1/") else "problem"),
        blank_lines=endpoint.blank_lines,
        unscannable=endpoint.unscannable,
        max_response=endpoint.max_response,
        capacity=None if endpoint.capacity is None else _capacity(endpoint.capacity, document.tiers),
        conversation=endpoint.conversation or "",
        context_audience=endpoint.context_audience or "",
        spotters=(
            *materials.listed.deny.get(endpoint.owner, ()),
            *materials.prompts.spotters.get(name, ()),
            GroundingSpotter(),
            markup_of(document.links, endpoint.links),
        ),
        allowed=allowed_of(endpoint.owner, floor, document, materials.listed),
    )


def markup_of(*links: endpoints.Links | None) -> MarkupSpotter:
    """What finds links that lead elsewhere than to the hosts of any of `links`."""
    return MarkupSpotter(Hosts(host for part in links if part is not None for host in part.hosts))


def allowed_of(owner: str, floor: Sequence[str], document: schema.Document, listed: Listed) -> Allowed | None:
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
    own = Ruleset("request", tuple([prompt_rule_of(rule, document) for rule in given.rules]))
    named = [ruleset_of(name, document.rulesets[name], document) for name in given.rulesets]
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
