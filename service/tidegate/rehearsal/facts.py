"""What there is to know of each rule that a request met: what the policy says, and what the request and its caller are.

Facts for a person to read. They come from the policy's own index and from the predicates that `authorize` asks.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import replace

from tidegate.authorization import Rule, concerns, covers_model, find_endpoint, shortfall
from tidegate.model import ANONYMOUS, Allow, Decision, Deny, Identity, Request
from tidegate.policy.compiled import Endpoint, Grant, Policy, Tenant
from tidegate.policy.routes import Routes
from tidegate.rehearsal.files import GIVEN
from tidegate.requested_model import requested_model

Said = tuple[str, tuple[str, ...]]
_NEAREST = 3


class Facts:
    """The facts of one decision under one policy."""

    def __init__(self, policy: Policy, request: Request, decision: Decision) -> None:
        self._policy = policy
        self._request = request
        self._decision = decision
        found = find_endpoint(policy, request.host, request.path, request.method)
        self._endpoint = found[0] if found else None
        self._model: str | Deny = ""
        if found and found[0].model is not None:
            self._model = requested_model(found[0].model, request, found[1])

    def identity(self) -> Said:
        """Who calls and how that is known, or why it is not; and the methods that the policy accepts."""
        who = self._decision.identity
        accepted = tuple(_methods(self._policy))
        if who is None:
            verdict = self._decision.verdict
            detail = verdict.detail or str(verdict.reason) if isinstance(verdict, Deny) else ""
            return f"nobody is identified: {detail}", accepted
        known = "as given; no credential was checked" if who.method == GIVEN else f"by {who.method}"
        if who.credential and who.method != GIVEN:
            known += f", credential {who.credential}"
        said = f"{who.subject!r} of tenant {who.tenant!r}, tier {who.tier!r}, {_some('roles', who.roles)} ({known})"
        return said, accepted

    def of(self, rule: Rule) -> Said:
        """What there is to know of a rule that was asked, after somebody was identified."""
        who = self._decision.identity
        assert who is not None  # noqa: S101 - rules are asked of somebody
        if rule is Rule.ENDPOINT or self._endpoint is None:
            return self._match()
        endpoint, tenant = self._endpoint, self._policy.tenants.get(who.tenant)
        if rule is Rule.METHOD:
            return self._method(endpoint)
        if rule is Rule.TENANT or tenant is None:
            return f"{who.tenant!r}; the policy has {_list(self._policy.tenants)}", ()
        match rule:
            case Rule.TIER:
                return f"{who.tier!r}; the policy has {_list(self._policy.tiers)}", ()
            case Rule.OWNERSHIP:
                return f"{endpoint.name} belongs to {endpoint.owner}, {_some('shared with', endpoint.shared_with)}", ()
            case Rule.DENIES:
                return self._of_denies(who, tenant, endpoint)
            case Rule.CREDENTIAL:
                needs = f"callers without one are tier {endpoint.anonymous}" if endpoint.anonymous else "one is needed"
                return f"{'none was shown' if who.method == ANONYMOUS else 'there is one'}; {needs}", ()
            case Rule.GRANTS:
                return self._of_grants(who, tenant, endpoint)
            case Rule.CREDENTIAL_ENDPOINTS:
                opens = "all endpoints" if who.endpoints is None else _list(who.endpoints)
                return f"the credential opens {opens}", ()
            case Rule.AUDIENCES:
                made = "for nobody in particular" if who.audiences is None else f"for {_list(who.audiences)}"
                needs = f"needs one of {_list(endpoint.audiences)}" if endpoint.audiences else "needs none"
                return f"{needs}; the credential is {made}", ()
            case Rule.SCOPES:
                return f"{_some('needs', endpoint.scopes)}; the credential has {_list(who.scopes)}", ()
        return self._of_models(rule, who, tenant, endpoint)

    def limits(self) -> Said:
        """What became of the limits: nothing was used of them before."""
        verdict = self._decision.verdict
        if isinstance(verdict, Deny) and verdict.rule != "prompt":
            return self.body()
        return "there is room where nothing else was used", ()

    def body(self) -> Said:
        """Why the request is refused, where none of the rules of authorization did it."""
        verdict = self._decision.verdict
        if isinstance(verdict, Deny):
            return f"{verdict.reason}: {verdict.message}", (verdict.detail,) if verdict.detail else ()
        return "it is as the endpoint wants it", ()

    def prompts(self) -> Said:
        """What was found in the request's body, by kind and act."""
        found = self._decision.inspection
        counted = {} if found is None else found.findings
        parts = tuple([f"{entity} {act}: {count}" for (entity, act), count in counted.items()])
        scores = {} if found is None else found.scores
        parts += tuple([f"injection, {role}: {score:.3f}" for role, score in scores.items()])
        fault = found.fault if found is not None else ""
        return fault or ("values were found" if counted else "nothing was found"), parts

    def rulesets(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """The rulesets that the response passes, each with every place of the policy that asks for it."""
        verdict, who, endpoint = self._decision.verdict, self._decision.identity, self._endpoint
        if not isinstance(verdict, Allow) or who is None or endpoint is None:
            return ()
        policy, level = self._policy, endpoint.classification
        shared = {*policy.floor_rulesets, *policy.classifications.get(level, ())}
        sources = {
            "platform.floor": policy.floor_rulesets,
            f"classifications.{level}": policy.classifications.get(level, ()),
            f"tiers.{who.tier}": policy.tier_rulesets.get(who.tier, ()),
            f"endpoints.{endpoint.name}": [name for name in endpoint.rulesets if name not in shared],
        }
        return tuple(
            (name, tuple(source for source, names in sources.items() if name in names)) for name in verdict.rulesets
        )

    def capacity(self) -> str:
        """What the endpoint carries at once, and as whom the caller would wait for a place."""
        who, endpoint = self._decision.identity, self._endpoint
        if who is None or endpoint is None or endpoint.capacity is None:
            return ""
        capacity, tier, tenant = endpoint.capacity, self._policy.tiers[who.tier], self._policy.tenants[who.tenant]
        return (
            f"{capacity.concurrent} at once, {capacity.queue} wait up to {capacity.max_wait:g} s; "
            f"priority {tier.priority}, weight {tenant.weight or tier.weight}"
        )

    def _match(self) -> Said:
        asked = f"{self._request.host}{self._request.path}"
        if self._endpoint is not None:
            return f"{asked} is {self._endpoint.name}: {_place(self._endpoint)}", ()
        return f"{asked} is nobody's", tuple(_near_misses(self._policy, self._request))

    def _method(self, endpoint: Endpoint) -> Said:
        said = f"{self._request.method}; {endpoint.name} answers {_list(endpoint.methods)}"
        others = self._policy.routes.match(self._request.host, self._request.path)
        return said, tuple(f"{one.name} answers {_list(one.methods)}" for one in others if one is not endpoint)

    def _of_grants(self, who: Identity, tenant: Tenant, endpoint: Endpoint) -> Said:
        if who.method == ANONYMOUS:
            return "none is asked of callers without a credential", ()
        parts = [
            f"tenants.{tenant.name}.grants[{index}], role {grant.role}: {self._coverage(grant, who, endpoint)}"
            for index, grant in enumerate(tenant.grants)
            if grant.role in who.roles
        ]
        without = sorted(who.roles - {grant.role for grant in tenant.grants})
        parts += [f"role {role}: tenant {tenant.name} grants it nothing" for role in without]
        return f"one must cover {self._request.method} on {endpoint.name}", tuple(parts)

    def _of_denies(self, who: Identity, tenant: Tenant, endpoint: Endpoint) -> Said:
        parts = tuple(
            f"tenants.{tenant.name}.denies[{index}], role {deny.role}: "
            + self._coverage(deny, who, endpoint, unknown=True)
            for index, deny in enumerate(tenant.denies)
            if concerns(deny, who.roles)
        )
        return f"none may cover {self._request.method} on {endpoint.name}" if parts else "none is for the caller", parts

    def _coverage(self, grant: Grant, who: Identity, endpoint: Endpoint, *, unknown: bool = False) -> str:
        condition = ""
        if grant.when is not None:
            known = grant.when.evaluate(who, self._request, endpoint.name) is not None
            doubt = "" if known else ", which cannot be evaluated:"
            condition = f", by its condition{doubt} {grant.when.source}"
        match shortfall(grant, endpoint.name, who, self._request, unknown=unknown):
            case "condition":
                return f"does not cover it{condition}"
            case "endpoints":
                return f"does not cover it, only endpoints {_list(grant.endpoints or ())}"
            case "methods":
                return f"does not cover it, only methods {_list(grant.methods or ())}"
        models = "" if grant.models is None else f" for models {_list(grant.models)}"
        return f"covers it{models}{condition}"

    def _of_models(self, rule: Rule, who: Identity, tenant: Tenant, endpoint: Endpoint) -> Said:
        model = self._model
        if endpoint.model is None:
            asked = "requests name no model here"
        elif isinstance(model, Deny):
            return f"{model.message} It is read from {_source(endpoint)}", ()
        else:
            asked = f"{model!r}, from {_source(endpoint)}"
        if rule is Rule.MODEL or isinstance(model, Deny):
            return asked, ()
        if rule is Rule.TIER_MODELS:
            allowed = endpoint.model.allowed.get(who.tier, frozenset()) if endpoint.model else frozenset({"*"})
            return f"{asked}; tier {who.tier} may use {_list(allowed)}", ()
        kind, listed = ("denies", tenant.denies) if rule is Rule.MODEL_DENIES else ("grants", tenant.grants)
        if kind == "grants" and who.method == ANONYMOUS:
            return "none is asked of callers without a credential", ()
        parts = tuple(
            f"tenants.{tenant.name}.{kind}[{index}], role {grant.role}: "
            + ("covers it" if covers_model(grant, model) else f"does not cover it, only models {_list(grant.models)}")
            for index, grant in enumerate(listed)
            if (concerns(grant, who.roles) if kind == "denies" else grant.role in who.roles)
            and not shortfall(grant, endpoint.name, who, self._request, unknown=kind == "denies")
            and (kind == "grants" or grant.models is not None)
        )
        return asked, parts


def _methods(policy: Policy) -> Iterator[str]:
    if policy.api_keys is not None:
        yield f"accepted: API keys in {policy.api_keys.header}"
    for issuer in policy.token_issuers:
        yield f"accepted: tokens of {issuer.name}"
    for one in (*policy.introspections, *((policy.introspection,) if policy.introspection else ())):
        yield f"accepted: opaque tokens, introspected at {one.name}"
    if policy.workloads:
        yield "accepted: client certificates of workloads"
    opened = [endpoint.name for endpoint in policy.endpoints if endpoint.anonymous]
    if opened:
        yield f"accepted: no credential, at {_list(opened)}"


def _near_misses(policy: Policy, request: Request) -> Iterator[str]:
    """The endpoints that nearly match: those of the path for other hosts, then those of the most similar paths."""
    elsewhere = [
        endpoint
        for endpoint in policy.endpoints
        if Routes([replace(endpoint, hosts=frozenset({"*"}))]).match(request.host, request.path)
    ]
    for endpoint in elsewhere[:_NEAREST]:
        yield f"{endpoint.name} has the path, for hosts {_list(endpoint.hosts)}"
    paths = {endpoint.path: endpoint for endpoint in policy.endpoints if endpoint not in elsewhere}
    for path in difflib.get_close_matches(request.path[:200], paths, n=_NEAREST):
        yield f"{paths[path].name} has another path: {path}"


def _place(endpoint: Endpoint) -> str:
    return f"hosts {_list(endpoint.hosts)}, path {endpoint.path}, methods {_list(endpoint.methods)}"


def _source(endpoint: Endpoint) -> str:
    rule = endpoint.model
    return f"{rule.source}.{'.'.join(rule.locator)}" if rule else "nowhere"


def _some(what: str, words: Iterable[str]) -> str:
    found = _list(words)
    return f"{what} {found}" if found != "none" else f"{what} nobody" if what == "shared with" else f"{what} none"


def _list(words: Iterable[str] | None) -> str:
    return ", ".join(sorted(words or ())) or "none"
