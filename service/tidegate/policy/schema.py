"""The shape of the policy document. docs/policy.md and the published JSON Schema are made from these classes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tidegate.policy import words
from tidegate.policy.amounts import Refill
from tidegate.policy.capacity import Capacity
from tidegate.policy.content_safety import ContentSafety
from tidegate.policy.context_token import ContextToken
from tidegate.policy.credentials import IdentityMethods
from tidegate.policy.limits import Limits
from tidegate.policy.lists import AllowList, DenyList
from tidegate.policy.names import Names
from tidegate.policy.prices import Prices
from tidegate.policy.prompts import SystemPrompt
from tidegate.policy.requests import RequestChecks
from tidegate.policy.revocation import Revocation
from tidegate.policy.strict import Strict
from tidegate.policy.structures import Structure


class Floor(Strict):
    """What holds for every request, whoever calls. Tenants and endpoints add to it; nothing takes away from it."""

    rulesets: words.Set[words.Name] = Field(default=[], description="Rulesets that every response passes.")
    limits: Limits = Field(default=[], description="Limits that every request is charged against.")
    unscannable: Literal["withhold", "pass"] = Field(
        default="withhold",
        description=(
            "Whether an endpoint may let a response that cannot be read, or fields of one, pass the rulesets above "
            "unread."
        ),
    )


class LimitsStore(Strict):
    """What happens while the store of the limits cannot be reached."""

    on_outage: Literal["share", "deny", "allow"] = Field(
        default="share",
        description="share: each replica enforces its part of every limit from memory; deny; or allow unlimited.",
    )


class Audit(Strict):
    """What happens while nothing can be put on record. Where records are kept is told to the process: `--audit`."""

    required: bool = Field(
        default=False,
        description="true: while the audit log cannot be written, every request is refused, with 503. "
        "false: it is served, and the log says how many records are missing.",
    )


class Platform(Strict):
    """What the platform's owner decides for everyone."""

    identity: IdentityMethods = Field(default_factory=IdentityMethods, description="The accepted credentials.")
    floor: Floor = Field(default_factory=Floor, description="What holds for every request.")
    limits_store: LimitsStore = Field(
        default_factory=LimitsStore, description="Behaviour while the limit store is out."
    )
    audit: Audit = Field(default_factory=Audit, description="Behaviour while the audit log cannot be written.")
    revocation: Revocation | None = Field(
        default=None,
        description="Let tokens be revoked, and end what runs. Without it a token is good until it expires.",
    )
    context_token: ContextToken | None = Field(
        default=None, description="Give models a signed token that says who calls. Without it they get none."
    )
    trusted_hops: int = Field(
        default=0, ge=0, le=10, description="How many proxies before Envoy are believed in X-Forwarded-For."
    )
    heartbeat: words.Heartbeat = Field(
        default=15.0,
        description="How long an event stream that rules rewrite may be silent before a comment is put into it, so "
        "that nobody on the way takes it for dead, or Ollama's lines before one without text is; 0s for never.",
    )


class Tier(Strict):
    """A service tier, such as free or premium."""

    weight: words.Weight = Field(
        default=1,
        description="The share of a tenant with callers in the tier, against others of the same priority, where an "
        "endpoint's capacity is short.",
    )
    priority: Literal["critical", "standard", "sheddable"] = Field(
        default="standard",
        description="Who is served first where an endpoint's capacity is short, and who is refused first: sheddable.",
    )
    limits: Limits = Field(default=[], description="Limits of every caller in the tier.")
    rulesets: words.Set[words.Name] = Field(default=[], description="Rulesets for responses to callers in the tier.")


class Classification(Strict):
    """How sensitive an endpoint's data is, and what that demands of its responses."""

    rulesets: words.Set[words.Name] = Field(
        default=[], description="Rulesets for responses of endpoints so classified."
    )


class Rule(Strict):
    """What to look for in a response, and what to do with it."""

    detect: words.Some[words.Entity] = Field(
        description="The kinds of value to find, or groups of them; [detectors.md](detectors.md) says what each finds. "
        "`LIST_` and the name of a deny list in capitals: the terms of that list."
    )
    act: Literal["redact", "mask", "hash", "drop", "block", "annotate", "pseudonymize"] = Field(
        description=(
            "redact: put `[EMAIL]` in its place; mask: cover its characters; hash: a digest of it; drop: leave it out; "
            "block: withhold the response; annotate: change nothing, and count it in the receipt, log and metrics. "
            "pseudonymize: put a stand-in in its place, the same for the same value within `scope`. "
            "Where several rules name a kind of value, the strictest act stands: annotate, mask, hash, pseudonymize, "
            "redact, drop, block."
        )
    )
    scope: Literal["response", "conversation", "tenant"] | None = Field(
        default=None,
        description="Where a value keeps its pseudonym; by default in one response. conversation: of one caller, as "
        "`endpoints.*.conversation` tells, and one response where the request names none.",
    )
    form: Literal["token", "alike"] | None = Field(
        default=None,
        description="What a pseudonym looks like. token, the default: `[EMAIL_7f3a9c021b44]`; alike: like a value "
        "of its kind that nobody can have. For CREDIT_CARD, EMAIL, IP_ADDRESS, PHONE and US_SSN.",
    )
    reversible: bool = Field(
        default=False,
        description="true: a pseudonym holds its value, sealed, up to 255 bytes of it, for those whom "
        "`tenants.*.reveal` lets turn it back; a token of 72 characters and more. Needs `--pseudonym-keys-file`.",
    )
    regions: words.Set[words.Region] = Field(
        default=[],
        description="With PHONE: the regions whose numbers are found as people there write them, without a country "
        "code, such as [GB, DE]; codes of ISO 3166-1. Numbers with a country code and those of the NANP are found "
        "anyway. Where several rules look for PHONE, in the regions of all of them.",
    )


class Grant(Strict):
    """What a role may do inside a tenant. A request needs one grant that covers all of it."""

    role: words.Role = Field(description="The role that the caller must hold.")
    endpoints: words.AllOr[words.Name] = Field(
        description='The endpoints it reaches; "*" means all that the tenant owns or was lent.'
    )
    methods: words.AllOr[words.Method] = Field(default="*", description='The HTTP methods it may use; "*" means all.')
    models: words.AllOr[words.ModelName] = Field(
        default="*",
        description='The models it may use; "*" means all that the tier allows. '
        "A list does not cover endpoints that name no model.",
    )
    when: words.Expression | None = Field(
        default=None,
        description="A condition in CEL, such as `claims.region == 'eu'`. Where it does not hold or cannot be "
        "evaluated, the grant covers nothing.",
    )


class Denial(Strict):
    """What a role must not do inside a tenant, whatever is granted. A request is refused when all of it is covered."""

    role: words.Text = Field(default="*", description='The role that is refused; "*" means everyone in the tenant.')
    endpoints: words.AllOr[words.Name] = Field(
        description='The endpoints that are refused; "*" means all that the tenant owns or was lent.'
    )
    methods: words.AllOr[words.Method] = Field(default="*", description='The HTTP methods refused; "*" means all.')
    models: words.AllOr[words.ModelName] = Field(
        default="*",
        description='The models refused, by their exact names; "*" refuses whatever the model. '
        "A list does not cover endpoints that name no model.",
    )
    when: words.Expression | None = Field(
        default=None,
        description="A condition in CEL, such as `claims.region != 'eu'`. Where it cannot be evaluated, it holds.",
    )


class Subject(Strict):
    """What is different for one caller of a tenant. Its limits count what it does in that tenant, and nobody else."""

    limits: Limits = Field(
        default=[],
        description="A limit named as one of the caller's tier or tenant takes the place of that; any other is added. "
        "Limits of the floor and of endpoints stay.",
    )


class Reveal(Strict):
    """Who may turn the tenant's reversible pseudonyms back into values (`tidegate reveal`). Each call is on record."""

    roles: words.Some[words.Role] = Field(description="The caller must hold one of these.")
    scopes: words.Set[words.Scope] = Field(default=[], description="OAuth scopes that it needs, all of them.")
    entities: words.AllOr[words.Entity] = Field(
        default="*", description='The kinds of value, or groups of them; "*" means all.'
    )
    rate: Refill = Field(
        default=(10, 60.0), description="How often each subject may ask, answered or refused, in a token bucket."
    )


class Tenant(Strict):
    """A business unit or partner."""

    grants: list[Grant] = Field(default=[], description="What its roles may do; nothing is granted without one.")
    denies: list[Denial] = Field(
        default=[], description="What its roles must not do. One that covers a request wins over every grant."
    )
    limits: Limits = Field(default=[], description="Limits of the tenant, beside the floor's and the tier's.")
    subjects: dict[words.Text, Subject] = Field(
        default={}, description="Limits of single callers, by the subject that their credential gives."
    )
    weight: words.Weight | None = Field(default=None, description="Its share under pressure, in place of its tier's.")
    deny_lists: dict[words.ListName, DenyList] = Field(
        default={}, description="Deny lists for the endpoints that it owns, beside the platform's of the same name."
    )
    allow_lists: dict[words.Name, AllowList] = Field(
        default={}, description="Allow lists for the endpoints that it owns."
    )
    reveal: Reveal | None = Field(
        default=None, description="Who may turn reversible pseudonyms back into values; nobody without it."
    )


class Match(Strict):
    """Which requests belong to an endpoint."""

    hosts: words.Hosts = Field(description='Exact host names in lower case, without port; "*" means any.')
    path: words.PathTemplate = Field(
        description="An exact path, or a template: {name} takes one segment, a last ** takes the rest."
    )
    methods: words.Some[words.Method] = Field(description="The HTTP methods that the endpoint answers.")


class ModelRule(Strict):
    """Where a request names its model, and which tier may use which."""

    source: words.ModelSource = Field(
        alias="from",
        description="body.<key> (JSON; more keys go deeper), header.<name>, or path.<variable> of the template.",
    )
    allowed: dict[words.Name, words.AllOr[words.ModelName]] = Field(
        min_length=1, description='For each tier the models it may use, "*" for all; a tier not named may use none.'
    )


class Anonymous(Strict):
    """Callers without a credential, as subject `anonymous` of the endpoint's owner. No grant is needed."""

    tier: words.Name = Field(description="The tier that they are in.")


class Fields(Strict):
    """Which fields of JSON the rules look into: of documents, and of each event or line of a stream.

    Places are JSON pointers (RFC 6901), with all that is below them; `*` in place of an index means every item of an
    array. The receipt says what was skipped. A document that names a key twice is then withheld.
    """

    only: words.Set[words.Pointer] = Field(
        default=[], description="Read these and nothing else; everything where it is empty."
    )
    skip: words.Set[words.Pointer] = Field(default=[], description="Do not read these, whatever `only` says.")
    keys: bool = Field(default=True, description="Whether the keys of objects are read, too.")


class Links(Strict):
    """Where links and images of responses may lead, for what looks for `EXTERNAL_LINK` and `EXTERNAL_IMAGE`."""

    hosts: words.Set[words.HostPattern] = Field(
        default=[], description="Exact host names in lower case, or `*.` and a name for every host below it."
    )


class Endpoint(Strict):
    """A model-serving endpoint under policy."""

    owner: words.Name = Field(description="The tenant that owns the endpoint.")
    shared_with: words.AllOr[words.Name] | None = Field(
        default=None, description='Tenants that may grant it to their roles too; "*" means every tenant.'
    )
    match: Match = Field(description="The requests that belong to it.")
    model: ModelRule | None = Field(default=None, description="Leave out where requests name no model.")
    anonymous: Anonymous | None = Field(
        default=None,
        description="Let callers in who show no credential. The endpoint or the floor must limit them per `client_ip`.",
    )
    scopes: words.Set[words.Scope] = Field(default=[], description="OAuth scopes that a caller needs, all of them.")
    audiences: words.Set[words.Text] = Field(
        default=[], description="A token must carry one of these in `aud` too. API keys have no audience."
    )
    context_audience: words.Text | None = Field(
        default=None, description="The `aud` of its context tokens; by default its own name."
    )
    classification: words.Name | None = Field(default=None, description="How sensitive its data is.")
    rulesets: words.Set[words.Name] = Field(default=[], description="Rulesets of its own, added to all others.")
    system_prompt: SystemPrompt | None = Field(
        default=None, description="What its model is instructed with, for what looks for passages of it in responses."
    )
    links: Links | None = Field(
        default=None, description="Where links of its responses may lead, beside the hosts for every endpoint."
    )
    fields: Fields | None = Field(
        default=None, description="Which fields of a JSON response are read; without it all strings and keys."
    )
    request: RequestChecks | None = Field(
        default=None, description="What is checked of its requests: [requests.md](requests.md)."
    )
    structure: Structure | None = Field(
        default=None, description="What its answers must look like, by JSON Schemas: [structure.md](structure.md)."
    )
    limits: Limits = Field(default=[], description="Limits of its own, added to all others.")
    capacity: Capacity | None = Field(
        default=None, description="How much it carries at once; leave out where nothing is counted."
    )
    errors: Literal["openai", "problem"] | None = Field(
        default=None,
        description="The shape of refusals: OpenAI's or RFC 9457's. By default openai where the path begins with /v1/.",
    )
    conversation: words.HeaderName | None = Field(
        default=None, description="The request header that names the conversation, for pseudonyms that last as long."
    )
    unscannable: Literal["withhold", "pass"] = Field(
        default="withhold", description="What happens to a response that no filter can read, such as an image."
    )
    max_response: words.Size = Field(
        default=4 * 1024 * 1024, description='The most that is held to filter a response, such as "4MiB"; up to 1GiB.'
    )


class Document(Strict):
    """A tidegate policy: who may call which model, how much, and what may leave."""

    version: Literal[1] = Field(description="The version of this format.")
    platform: Platform = Field(default_factory=Platform, description="Identity, the floor, the limit store, proxies.")
    tiers: dict[words.Name, Tier] = Field(default={}, description="Service tiers by name.")
    classifications: dict[words.Name, Classification] = Field(default={}, description="Data classes by name.")
    rulesets: dict[words.Name, list[Rule]] = Field(default={}, description="Filter rules by the name of their set.")
    deny_lists: dict[words.ListName, DenyList] = Field(
        default={}, description="Terms that rulesets look for on every endpoint, by the name of their list."
    )
    allow_lists: dict[words.Name, AllowList] = Field(
        default={}, description="Values that are left as they are on every endpoint, by the name of their list."
    )
    names: Names | None = Field(default=None, description="How names of people, places and organisations are found.")
    content_safety: ContentSafety | None = Field(default=None, description="What judges whether passages are safe.")
    links: Links = Field(
        default_factory=Links, description="Where links of every response may lead; by default nowhere."
    )
    prices: Prices | None = Field(default=None, description="What models cost, for limits that count money.")
    tenants: dict[words.Name, Tenant] = Field(default={}, description="Business units and partners by name.")
    endpoints: dict[words.Name, Endpoint] = Field(default={}, description="Model-serving endpoints by name.")
