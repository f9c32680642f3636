"""The compiled policy: frozen objects that the phases read. Built by `compile`, never from a request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from tidegate.admission.queue.terms import Capacity, Priority
from tidegate.filtering.allow_list import Allowed
from tidegate.filtering.references import UNGROUNDED
from tidegate.filtering.ruleset import Ruleset
from tidegate.filtering.selection import Selection
from tidegate.filtering.spotting import Spotter
from tidegate.filtering.structure.demand import Structure
from tidegate.inbound.checks import RequestChecks
from tidegate.model import Limit, Price
from tidegate.policy.compiled_identity import ApiKeys, Dpop, Introspection, Issuer, Revocation, SharedSecret
from tidegate.policy.conditions import Condition
from tidegate.policy.routes import Routes
from tidegate.policy.signing_keys import ContextToken
from tidegate.policy.workloads import NO_WORKLOADS, Workloads


@dataclass(frozen=True, slots=True)
class Tier:
    """A service tier: its class and its share under pressure, and the limits of everyone in it."""

    name: str
    weight: int = 1
    priority: Priority = "standard"
    limits: tuple[Limit, ...] = ()


@dataclass(frozen=True, slots=True)
class Grant:
    """What a role may reach inside a tenant, or must not reach where it is one of the tenant's `denies`.

    It is so only while the condition `when` holds. None means all (endpoints: all that the tenant owns or was lent).
    The role "*" of a deny is everyone's.
    """

    role: str
    endpoints: frozenset[str] | None = None
    methods: frozenset[str] | None = None
    models: frozenset[str] | None = None
    when: Condition | None = None


@dataclass(frozen=True, slots=True)
class Reveal:
    """Who may turn pseudonyms back: with one of `roles`, all `scopes`, for `entities` (None: all), within `limit`."""

    roles: frozenset[str]
    scopes: frozenset[str]
    entities: frozenset[str] | None
    limit: Limit


@dataclass(frozen=True, slots=True)
class Tenant:
    """A business unit or partner. `by_role` indexes `grants`, so that a request looks at its own roles' only.

    `subjects` are the limits of single callers: each stands for those of its name of the caller's tier and tenant.
    `weight` is its share under pressure where it is not that of the caller's tier. `denies` win over `grants`.
    """

    name: str
    grants: tuple[Grant, ...] = ()
    limits: tuple[Limit, ...] = ()
    subjects: Mapping[str, tuple[Limit, ...]] = field(default_factory=lambda: MappingProxyType({}))
    weight: int | None = None
    denies: tuple[Grant, ...] = ()
    reveal: Reveal | None = None
    by_role: Mapping[str, tuple[Grant, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        roles: dict[str, list[Grant]] = {}
        for grant in self.grants:
            roles.setdefault(grant.role, []).append(grant)
        object.__setattr__(self, "by_role", MappingProxyType({role: tuple(held) for role, held in roles.items()}))


@dataclass(frozen=True, slots=True)
class ModelRule:
    """Where the model's name stands in a request, and which tier may use which models.

    `source` is "body" (JSON, `locator` the path of keys), "header" (one name, lower-case) or "path" (one template
    variable). `allowed` maps tier → models, {"*"} meaning every model; a tier that is not a key may use none.
    """

    source: Literal["body", "header", "path"]
    locator: tuple[str, ...]
    allowed: Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A model-serving endpoint under policy.

    `hosts` are exact lower-case names, or {"*"}; `path` is an exact path, or a template: `{name}` matches one
    segment, a final `**` the rest. `shared_with` are the tenants beside the owner that may be granted it. A token must
    be for one of `audiences`, if there are any. `rulesets` is floor ∪ classification ∪ the endpoint's own, in policy
    order. `request_body` is true when a decision needs the body. `errors` is the shape of error bodies. `max_response`
    caps what must be held whole, bytes. `anonymous` is the tier of callers without a credential, "" for none of them.
    `scope` is derived: the `scopes` in order, as RFC 6749 writes them, which is what limits count by. Not the caller's:
    who asks for a token with other scopes would have a limit of its own for each set of them.
    `capacity` is None where nobody counts what runs. `conversation` is the header that names one, "" for none.
    `context_audience` is whom its context tokens are for, "" for its name. `blank_lines` tells whether its clients pass
    over empty lines of NDJSON.
    `spotters` are those of its texts alone, `allowed` are values that are left as they are in them.
    `structure` is what is demanded of its answers, None for nothing; `request` what is checked of its requests.
    """

    name: str
    owner: str
    hosts: frozenset[str]
    path: str
    methods: frozenset[str]
    model: ModelRule | None = None
    scopes: frozenset[str] = frozenset()
    audiences: frozenset[str] = frozenset()
    shared_with: frozenset[str] = frozenset()
    classification: str = ""
    rulesets: tuple[str, ...] = ()
    selection: Selection | None = None
    limits: tuple[Limit, ...] = ()
    errors: Literal["openai", "problem"] = "problem"
    blank_lines: bool = False
    unscannable: Literal["withhold", "pass"] = "withhold"
    max_response: int = 4 * 1024 * 1024
    anonymous: str = ""
    capacity: Capacity | None = None
    conversation: str = ""
    context_audience: str = ""
    spotters: tuple[Spotter, ...] = field(default=(), repr=False, compare=False)
    allowed: Allowed | None = field(default=None, repr=False, compare=False)
    structure: Structure | None = None
    request: RequestChecks | None = None
    scope: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "scope", " ".join(sorted(self.scopes)))

    @property
    def request_body(self) -> bool:
        """Whether a decision about this endpoint needs the request body."""
        return self.request is not None or (self.model is not None and self.model.source == "body")


@dataclass(frozen=True, slots=True)
class Prices:
    """What models cost, in `currency` (ISO 4217, "" when there are no prices). `default` is for all other models."""

    currency: str = ""
    models: Mapping[str, Price] = field(default_factory=lambda: MappingProxyType({}))
    default: Price | None = None

    def of(self, model: str) -> Price | None:
        """The price of a model ("": of a request that names none), or None where nobody gave one."""
        return self.models.get(model, self.default)


@dataclass(frozen=True, slots=True)
class StorePolicy:
    """What to do while the limit store is out: enforce a share from memory, deny, or allow."""

    on_outage: Literal["share", "deny", "allow"] = "share"


@dataclass(frozen=True, slots=True)
class Policy:
    """One compiled policy document. `version` is a short hash of everything that went into it.

    `spotters` may read the texts of every endpoint, `loose_spotters` and `allowed` are for texts of none.
    `heartbeat` is seconds of silence of an event stream, 0 for never.

    The last fields are derived from the others when the policy is made, so that a decision only looks up:
    `token_issuers` are those of signed tokens; `accepts_tokens` says whether there are tokens at all, opaque ones
    included, and `dpop_required` whether some must be bound to a DPoP key; `routes` indexes the endpoints;
    `grounded` names those whose answers may be held to what requests refer to; `structures` gives what each
    endpoint demands of its answers; `blank_lines` names those whose clients pass over empty lines; `passes` gives the
    rulesets of (endpoint, tier): floor ∪ classification ∪ tier ∪ the endpoint's own; `caller_limits` gives the limits
    of (tenant, tier): floor, tier, tenant; `subject_limits` those of (tenant, tier, subject) for the subjects that have
    their own: floor, what is left of tier and tenant, subject.
    """

    version: str
    api_keys: ApiKeys | None
    issuers: tuple[Issuer, ...]
    floor_rulesets: tuple[str, ...]
    floor_limits: tuple[Limit, ...]
    tiers: Mapping[str, Tier]
    tenants: Mapping[str, Tenant]
    endpoints: tuple[Endpoint, ...]
    rulesets: Mapping[str, Ruleset]
    store: StorePolicy = StorePolicy()
    identity_header_prefix: str = "x-tidegate-"
    trusted_hops: int = 0
    prices: Prices = Prices()
    tier_rulesets: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    classifications: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    shared_secrets: tuple[SharedSecret, ...] = ()
    introspection: Introspection | None = None
    introspections: tuple[Introspection, ...] = ()
    workloads: Workloads = NO_WORKLOADS
    xfcc_from: frozenset[str] = frozenset()
    audit_required: bool = False
    heartbeat: float = 15.0
    context_token: ContextToken | None = None
    revocation: Revocation | None = None
    loose_spotters: tuple[Spotter, ...] = field(default=(), repr=False, compare=False)
    spotters: tuple[Spotter, ...] = field(default=(), repr=False, compare=False)
    allowed: Allowed | None = field(default=None, repr=False, compare=False)
    dpop: Dpop = field(default_factory=Dpop)
    token_issuers: tuple[Issuer | SharedSecret, ...] = field(init=False, repr=False, compare=False)
    accepts_tokens: bool = field(init=False, repr=False, compare=False)
    dpop_required: bool = field(init=False, repr=False, compare=False)
    routes: Routes = field(init=False, repr=False, compare=False)
    _selections: Mapping[str, Selection | None] = field(init=False, repr=False, compare=False)
    _spotters: Mapping[str, tuple[Spotter, ...]] = field(init=False, repr=False, compare=False)
    grounded: frozenset[str] = field(init=False, repr=False, compare=False)
    _allowed: Mapping[str, Allowed | None] = field(init=False, repr=False, compare=False)
    structures: Mapping[str, Structure | None] = field(init=False, repr=False, compare=False)
    blank_lines: frozenset[str] = field(init=False, repr=False, compare=False)
    passes: Mapping[tuple[str, str], tuple[str, ...]] = field(init=False, repr=False, compare=False)
    caller_limits: Mapping[tuple[str, str], tuple[Limit, ...]] = field(init=False, repr=False, compare=False)
    subject_limits: Mapping[tuple[str, str, str], tuple[Limit, ...]] = field(init=False, repr=False, compare=False)

    def selection_of(self, endpoint: str) -> Selection | None:
        """The fields of JSON that are read of an endpoint's answers; None, which is all, for an unknown one."""
        return self._selections.get(endpoint)

    def spotters_of(self, endpoint: str) -> tuple[Spotter, ...]:
        """What may be used on an endpoint's texts beside patterns: its own, and everybody's."""
        return self._spotters.get(endpoint, self.loose_spotters + self.spotters)

    def allowed_of(self, endpoint: str) -> Allowed | None:
        """The values that are left as they are in an endpoint's texts."""
        return self._allowed.get(endpoint, self.allowed)

    def __post_init__(self) -> None:
        passes = {
            (endpoint.name, tier): tuple(
                dict.fromkeys(
                    (
                        *self.floor_rulesets,
                        *self.classifications.get(endpoint.classification, ()),
                        *self.tier_rulesets.get(tier, ()),
                        *endpoint.rulesets,
                    )
                )
            )
            for endpoint in self.endpoints
            for tier in self.tiers
        }
        limits = {
            (tenant.name, tier.name): (*self.floor_limits, *tier.limits, *tenant.limits)
            for tenant in self.tenants.values()
            for tier in self.tiers.values()
        }
        subjects = {
            (tenant.name, tier.name, subject): (*self.floor_limits, *_override((*tier.limits, *tenant.limits), own))
            for tenant in self.tenants.values()
            for subject, own in tenant.subjects.items()
            for tier in self.tiers.values()
        }
        object.__setattr__(self, "token_issuers", (*self.issuers, *self.shared_secrets))
        object.__setattr__(self, "accepts_tokens", bool(self.token_issuers) or self.introspects)
        sources = (*self.token_issuers, *self.introspections, *((self.introspection,) if self.introspection else ()))
        object.__setattr__(self, "dpop_required", any(source.dpop == "required" for source in sources))
        object.__setattr__(self, "routes", Routes(self.endpoints))
        object.__setattr__(self, "_selections", {one.name: one.selection for one in self.endpoints})
        object.__setattr__(self, "_spotters", {one.name: one.spotters + self.spotters for one in self.endpoints})
        sought = {
            name for name, ruleset in self.rulesets.items() if any(rule.entities & UNGROUNDED for rule in ruleset.rules)
        }
        held = frozenset(endpoint for (endpoint, _), names in passes.items() if not sought.isdisjoint(names))
        object.__setattr__(self, "grounded", held)
        object.__setattr__(self, "_allowed", {one.name: one.allowed for one in self.endpoints})
        structures = {one.name: one.structure for one in self.endpoints}
        object.__setattr__(self, "structures", MappingProxyType(structures))
        object.__setattr__(self, "blank_lines", frozenset(one.name for one in self.endpoints if one.blank_lines))
        object.__setattr__(self, "passes", MappingProxyType(passes))
        object.__setattr__(self, "caller_limits", MappingProxyType(limits))
        object.__setattr__(self, "subject_limits", MappingProxyType(subjects))

    @property
    def introspects(self) -> bool:
        """Whether there is anybody to ask about opaque tokens."""
        return self.introspection is not None or bool(self.introspections)

    @property
    def ends_streams(self) -> bool:
        """Whether a response that runs may end with the credential that it hangs on."""
        return self.revocation is not None and (self.revocation.ends_revoked or self.revocation.ends_expired)

    def limits_of(self, tenant: str, tier: str, subject: str) -> tuple[Limit, ...]:
        """The limits of a caller, whatever it calls. KeyError for a tenant or tier that the policy does not have."""
        return self.subject_limits.get((tenant, tier, subject)) or self.caller_limits[tenant, tier]

    def limits(self) -> tuple[Limit, ...]:
        """Every limit of the document: of the floor, the tiers, the tenants and their subjects, and the endpoints."""
        tenants = [limits for one in self.tenants.values() for limits in (one.limits, *one.subjects.values())]
        holders = (*[one.limits for one in self.tiers.values()], *tenants, *[one.limits for one in self.endpoints])
        return (*self.floor_limits, *[limit for limits in holders for limit in limits])


def _override(limits: tuple[Limit, ...], own: tuple[Limit, ...]) -> tuple[Limit, ...]:
    names = {limit.name for limit in own}
    return (*(limit for limit in limits if limit.name not in names), *own)
