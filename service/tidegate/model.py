"""The frozen values that travel between phases. No behaviour beyond what a value knows of itself, and no I/O."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, get_args

from tidegate.laps import Lap

_EMPTY: Mapping[str, Any] = MappingProxyType({})


def _empty() -> Mapping[str, Any]:
    return _EMPTY


class BodyState(Enum):
    """How much of the request body the edge handed over."""

    ABSENT = "absent"
    PARTIAL = "partial"
    WHOLE = "whole"


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request as the edge saw it, already canonical: the edge refuses what cannot be made so.

    `host` is lower-case without port; `path` is decoded once, has no query and no dot segments; header names are
    lower-case and single-valued; `client_ip` is the address after trusted hops; `peer` is the mTLS principal or "",
    `peer_certificate` its certificate, which Envoy verified: PEM, percent-encoded, "" where Envoy does not send it.
    `scheme` is "http" or "https", "" where the edge does not say; `port` is the one that the client named, 0 for none.
    """

    id: str
    method: str
    host: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=_empty, repr=False)
    client_ip: str = ""
    peer: str = ""
    peer_certificate: str = field(default="", repr=False)
    body: bytes = field(default=b"", repr=False)
    body_state: BodyState = BodyState.ABSENT
    scheme: str = ""
    port: int = 0


class Identity(NamedTuple):
    """Who calls, as one authenticated method established it.

    `credential` is the public id of the credential (an API key's id, a token's `jti` or key id), never a secret.
    `client_id` names the application that calls (RFC 9068 `client_id`, OpenID Connect `azp`; an API key's id), "" where
    the credential does not say. `expires_at` is Unix seconds, or None when the credential does not expire. `audiences`
    is whom a token was made for, None for a credential that is not made for anybody; `endpoints` are the only ones that
    the credential opens, None for any.
    """

    subject: str
    tenant: str
    tier: str
    method: str
    roles: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    claims: Mapping[str, Any] = _EMPTY
    credential: str = ""
    expires_at: float | None = None
    client_id: str = ""
    audiences: frozenset[str] | None = None
    endpoints: frozenset[str] | None = None

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self._asdict().items() if name != "claims")
        return f"Identity({shown})"


class Proof(NamedTuple):
    """What an identity hangs on: enough to ask later, anywhere, whether it still stands.

    `key` is the id of an API key, `token` that of a token ("" where it has none), `issuer` the token's `iss`. `issued`
    and `expires` are Unix seconds, None where the credential does not say.
    """

    method: str = ""
    key: str = ""
    token: str = ""
    issuer: str = ""
    issued: float | None = None
    expires: float | None = None


def proof_of(identity: Identity) -> Proof:
    """The proof of an identity."""
    if identity.method == "api_key":
        return Proof("api_key", key=identity.credential, expires=identity.expires_at)
    claims = identity.claims
    named = identity.method != "jwt" or claims.get("jti") == identity.credential  # a JWT without an id bears its key's
    issuer, issued = claims.get("iss", ""), claims.get("iat")
    return Proof(
        identity.method,
        token=identity.credential if named else "",
        issuer=issuer if isinstance(issuer, str) else "",
        issued=float(issued) if isinstance(issued, int | float) and not isinstance(issued, bool) else None,
        expires=identity.expires_at,
    )


ANONYMOUS = "anonymous"
"""The method, and the subject, of a caller who shows no credential where none is needed."""


class Reason(StrEnum):
    """Why a request was refused. Stable: these are metric labels, log fields and the `code` of error bodies."""

    REQUEST_MALFORMED = "request_malformed"
    REQUEST_STRUCTURE = "request_structure"
    PROMPT_REFUSED = "prompt_refused"
    PROMPT_INJECTION = "prompt_injection"
    PROMPT_UNCHECKED = "prompt_unchecked"
    CREDENTIAL_MISSING = "credential_missing"
    CREDENTIAL_INVALID = "credential_invalid"
    CREDENTIAL_EXPIRED = "credential_expired"
    NONCE_REQUIRED = "use_dpop_nonce"
    IDENTITY_UNAVAILABLE = "identity_unavailable"
    ENDPOINT_UNKNOWN = "endpoint_unknown"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    ACCESS_DENIED = "access_denied"
    SCOPE_INSUFFICIENT = "insufficient_scope"
    MODEL_MISSING = "model_missing"
    MODEL_NOT_ALLOWED = "model_not_allowed"
    LIMIT_EXCEEDED = "rate_limit_exceeded"
    OVERLOADED = "overloaded"
    STORE_UNAVAILABLE = "limits_unavailable"
    AUDIT_UNAVAILABLE = "audit_unavailable"
    PSEUDONYM_UNKNOWN = "pseudonym_unknown"
    CONTENT_BLOCKED = "content_blocked"
    RESPONSE_WITHHELD = "response_withheld"
    RESPONSE_STRUCTURE = "response_structure"
    INTERNAL = "policy_error"


Algorithm = Literal["token_bucket", "sliding_window", "sliding_window_counter", "quota", "concurrency"]
Unit = Literal["requests", "request_bytes", "tokens", "prompt_tokens", "completion_tokens", "money"]
UNITS: tuple[Unit, ...] = get_args(Unit)
"""Everything that a limit may count. Money is counted in micro-units: millionths of one unit of its currency."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit of the policy, compiled.

    token_bucket: holds at most `capacity` tokens and gains `refill` tokens every `period` seconds.
    sliding_window: at most `capacity` cost in any `period` seconds (exact log); `refill` is unused (0).
    sliding_window_counter: the same, estimated from two sums (`admission.reference_sums` says how well).
    quota: at most `capacity` cost in each calendar period `resets` of the IANA time zone `time_zone`; `period` is how
    long one lasts, nominally.
    concurrency: at most `capacity` cost held at once, each by a lease that lasts `period` seconds unless it is renewed.
    `per` names the request attributes that make the key; `name` is unique within its `scope`
    ("platform", "tier:free", "tenant:acme", "endpoint:chat"). `cost` is the unit in which `capacity` and charges are
    counted; `currency` is the ISO 4217 code where that is money. A `shadow` limit counts, and tells when it would have
    refused, but never refuses.
    """

    scope: str
    name: str
    algorithm: Algorithm
    capacity: int
    period: float
    refill: int = 0
    per: tuple[str, ...] = ()
    cost: Unit = "requests"
    shadow: bool = False
    resets: Literal["", "hour", "day", "week", "month"] = ""
    time_zone: str = "UTC"
    currency: str = ""


class Price(NamedTuple):
    """What a model costs, in micro-units of the policy's currency: each million tokens of a kind, and each request.

    `cache_read` and `cache_write` are for the tokens of a prompt that the model read from its prompt cache or wrote
    to it, `prompt` for all others.
    """

    prompt: int
    completion: int
    cache_read: int
    cache_write: int
    request: int = 0


def window_seconds(limit: Limit) -> int:
    """The time to which `capacity` applies, whole seconds, rounded up.

    Of a bucket, how long it takes to fill; of a quota, how long its period lasts at the most (a month: 31 days).
    """
    if limit.algorithm == "token_bucket":
        return math.ceil(limit.capacity * limit.period / limit.refill)
    return math.ceil(limit.period)


class Charge(NamedTuple):
    """A demand on one limit: `cost` in its unit, under `key` (the rendered, unambiguous values of `limit.per`)."""

    limit: Limit
    key: str
    cost: int = 1


class LimitState(NamedTuple):
    """One limit as it stood just after a decision.

    `remaining` is whole units left; `reset_after` is seconds until the limit is full again; `retry_after` is seconds
    until the refused cost would fit, 0.0 when it fitted, and infinity when it never can (cost over capacity). Of a
    limit on concurrency nobody can foretell that: `retry_after` is then a second, and `reset_after` until all leases
    lapse that are not renewed.
    """

    limit: Limit
    remaining: int
    reset_after: float
    retry_after: float = 0.0


@dataclass(frozen=True, slots=True)
class Admission:
    """The answer of a ledger. `refused` is None when every charge was taken; nothing is charged otherwise.

    `states` are the limits that bind, in the order of the charges; of a refusal that is repeated without asking the
    store, only those that are known to refuse. `shadowed` are the shadow limits that would have
    refused, and so were not charged; whether they would have has no bearing on anything else.
    `reservation` names the charge for a later `settle`; "" when the caller asked for none. `enforcement` says who
    counted: "exact", or "share" while each replica enforces its part because the store is out, or "none".
    """

    states: tuple[LimitState, ...]
    refused: LimitState | None = None
    reservation: str = ""
    enforcement: Literal["exact", "share", "none"] = "exact"
    shadowed: tuple[LimitState, ...] = ()


def exceeded(admission: Admission) -> tuple[Limit, ...]:
    """The limits that had no room for a refused request."""
    return tuple([state.limit for state in admission.states if state.retry_after]) if admission.refused else ()


class Hold(NamedTuple):
    """What a reservation set aside for an exchange, until it is settled.

    `amounts` are the (unit, amount) that a response may use up while it runs; `limits` the names of the limits that
    count those units and can refuse more. The reservation lapses after `seconds` unless it is extended, and what it
    holds of limits on concurrency after `lease`, which is no longer.
    """

    seconds: float = 0.0
    amounts: tuple[tuple[str, int], ...] = ()
    limits: tuple[str, ...] = ()
    lease: float = 0.0


_NOTHING = Hold()


@dataclass(frozen=True, slots=True)
class Deny:
    """A refusal: what the caller may know. `detail` is for our own records and never leaves.

    `violated` are the names of the limits that had no room for the request; `rule` is the rule of authorization
    (`authorization.Rule`) that refused, "request" or "prompt" where the body did, "" where another phase did.
    """

    status: int
    reason: Reason
    message: str
    headers: tuple[tuple[str, str], ...] = ()
    detail: str = ""
    violated: tuple[str, ...] = ()
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Allow:
    """A permission, and what the response phase needs to carry it out.

    `rulesets` are the names of the rulesets that the response must pass, floor first; `unscannable` says what happens
    to a body that no format reads; `max_response` is how many bytes of it may be held whole. `prompt_tokens` is what
    was reserved for the prompt, 0 when no limit is priced by it. `price` is the model's as it was when the request was
    admitted, None when no limit counts money; `hold` is what the admission's reservation holds. `ticket` is the place
    that the exchange takes in its endpoint's capacity, "" when it takes none. `conversation` is what the caller says
    that the request is part of, "" where it says nothing or the endpoint asks for nothing. `structured` tells that the
    endpoint demands a structure of its answers. `annotations` are headers that the model's side gets with the request.
    `proof` is what the response hangs on while it runs, None where it ends by itself.
    """

    identity: Identity
    endpoint: str
    model: str
    rulesets: tuple[str, ...]
    admission: Admission
    unscannable: Literal["withhold", "pass"] = "withhold"
    max_response: int = 4 * 1024 * 1024
    prompt_tokens: int = 0
    price: Price | None = None
    hold: Hold = _NOTHING
    ticket: str = ""
    conversation: str = ""
    structured: bool = False
    annotations: tuple[tuple[str, str], ...] = ()
    proof: Proof | None = None


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found in a request before a model read it, and no word of it.

    `findings` counts values by (kind, act); `unread` says why parts were not read, and how many; `fault` is what about
    the body would have been refused where the policy only looks. `scores` are those of injection, 0.0 to 1.0, by who
    speaks, for those whose scores count.
    """

    findings: Mapping[tuple[str, str], int] = field(default_factory=lambda: MappingProxyType({}))
    unread: Mapping[str, int] = field(default_factory=_empty)
    fault: str = ""
    scores: Mapping[str, float] = field(default_factory=_empty)


@dataclass(frozen=True, slots=True)
class Decision:
    """One record of one decision, whichever way it went.

    `charges` are what was asked of the limits; none of it was taken where the request was refused, but where `charged`:
    a request whose prompts were refused was one. `inspection` is what was found in it, None where nobody looked.
    `laps` are the phases that it went through, the last of which refused what was refused; none where none began.
    `endpoint` and `tier` are names of the policy, or "": what the request was for, and the plan of a caller who is
    known and has one; a token may name any.
    """

    request: Request
    verdict: Allow | Deny
    policy: str
    identity: Identity | None = None
    endpoint: str = ""
    model: str = ""
    admission: Admission | None = None
    dialect: Literal["openai", "problem"] = "problem"
    charges: tuple[Charge, ...] = ()
    inspection: Inspection | None = None
    charged: bool = False
    laps: tuple[Lap, ...] = field(default=(), compare=False)
    tier: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """A detected value, without the value: what kind, what was done, and where (field path of the document)."""

    entity: str
    action: str
    where: str = ""
