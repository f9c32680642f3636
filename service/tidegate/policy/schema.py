"""The shape of the policy document. docs/policy.md and the published JSON Schema are made from these classes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tidegate.policy import times, words
from tidegate.policy.content_safety import ContentSafety
from tidegate.policy.context_token import ContextToken
from tidegate.policy.credentials import IdentityMethods
from tidegate.policy.endpoints import Endpoint, Links
from tidegate.policy.limits import Limits
from tidegate.policy.lists import AllowList, DenyList
from tidegate.policy.names import Names
from tidegate.policy.prices import Prices
from tidegate.policy.revocation import Revocation
from tidegate.policy.strict import Strict
from tidegate.policy.tenants import Tenant


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
    heartbeat: times.Heartbeat = Field(
        default=15.0,
        description="How long an event stream that rules rewrite may be silent before a comment is put into it, so "
        "that nobody on the way takes it for dead, or Ollama's lines before one without text is, or other lines of "
        "JSON before an empty one is, where the endpoint's `blank_lines` say so; 0s for never.",
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
