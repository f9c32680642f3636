"""What was decided of a request, and found in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Literal

from tidegate.laps import Lap
from tidegate.model.identity import Identity, Proof
from tidegate.model.limits import Admission, Charge, Hold, Price
from tidegate.model.request import Request


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
    unread: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    fault: str = ""
    scores: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))


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
