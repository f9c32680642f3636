"""What the policy engine answers. Frozen values; all times are seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

Headers = tuple[tuple[str, str], ...]
Extension = Literal["extended", "refused", "gone"]
"""What came of extending a reservation: kept, kept as it was because more does not fit, or no longer there."""


@dataclass(frozen=True, slots=True)
class LimitState:
    """One limit just after a decision.

    `scope` is where the policy defines it ("tier:free"). `capacity` and `remaining` are in `unit`: "requests",
    "request_bytes", "tokens", "prompt_tokens", "completion_tokens", or "money", micro-units of `currency`.
    `retry_after` is seconds until the refused cost would fit: 0.0 when it fitted, infinity when it never can.
    """

    scope: str
    name: str
    capacity: int
    period: float
    remaining: int
    reset_after: float
    retry_after: float
    unit: str = "requests"
    currency: str = ""


@dataclass(frozen=True, slots=True)
class Price:
    """What a model costs, in micro-units of the policy's currency: each million tokens of a kind, and each request."""

    prompt: int
    completion: int
    cache_read: int
    cache_write: int
    request: int

    def money(
        self, prompt_tokens: int, completion_tokens: int, *, cache_read_tokens: int = 0, cache_write_tokens: int = 0
    ) -> int:
        """What such an exchange costs, rounded up, for `settle`; the tokens of the cache are among the prompt's."""
        tokens = self.completion * completion_tokens + self.prompt * prompt_tokens
        cached = (self.cache_read - self.prompt) * cache_read_tokens + (
            self.cache_write - self.prompt
        ) * cache_write_tokens
        return -(-(tokens + cached) // 1_000_000) + self.request


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The verdict on one request: `Allowed` or `Denied`. `policy_version` is "" when no policy was reached."""

    allowed: ClassVar[bool] = False

    request_id: str = ""
    policy_version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed(Decision):
    """The request may pass.

    `method` is how the caller was authenticated. `rulesets` are what the response must pass: hand them to
    `filter_text`. `headers` belong on the response (RateLimit, RateLimit-Policy). `reservation` is for `settle`, ""
    when there is nothing to settle; `price` is there when a limit counts money.

    `handoff` opens an exchange, "" unless one was announced. The application must not see the request's headers in
    `removed_request_headers` (credentials, what only we may say); `request_headers` are what it is told of its caller.
    `unchecked` says that nobody decided: the caller chose to let pass what an unreachable service cannot judge.
    """

    allowed: ClassVar[Literal[True]] = True

    subject: str
    tenant: str
    tier: str
    method: str
    endpoint: str
    model: str
    rulesets: tuple[str, ...]
    limits: tuple[LimitState, ...]
    headers: Headers = ()
    reservation: str = ""
    price: Price | None = None
    handoff: str = ""
    request_headers: Headers = ()
    removed_request_headers: frozenset[str] = frozenset()
    unchecked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied(Decision):
    """The request may not pass. `status`, `headers` and `body` are the HTTP answer; `reason` is a stable word."""

    allowed: ClassVar[Literal[False]] = False

    status: int
    reason: str
    message: str
    headers: Headers = ()
    body: bytes = b""
    limit: LimitState | None = None


@dataclass(frozen=True, slots=True)
class Consumed:
    """The answer to a charge. Nothing was charged when `admitted` is false; `refused` is the limit that said no.

    `enforcement` says who counted: "exact" the store, "share" one replica for its part, "none" nobody. `shadowed` are
    the shadow limits that would have refused; they bind nobody.
    """

    admitted: bool
    states: tuple[LimitState, ...]
    refused: LimitState | None
    reservation: str
    enforcement: Literal["exact", "share", "none"]
    shadowed: tuple[LimitState, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """Detected values of one kind, never the values: what, what was done ("mask", "block", …), how many, where."""

    entity: str
    action: str
    count: int = 1
    where: str = ""


@dataclass(frozen=True, slots=True)
class Coverage:
    """What was read of a text, bytes and fields. Every byte is scanned or skipped; `skipped` is reason → fields.

    `structure` is how a response matched what its endpoint demands, "" where nothing is demanded.
    """

    format: str
    scanned_bytes: int
    skipped_bytes: int
    scanned_fields: int
    skipped_fields: int
    skipped: Mapping[str, int]
    structure: str = ""

    def __reduce__(self) -> tuple[type[Coverage], tuple[Any, ...]]:
        skipped = dict(self.skipped)  # a read-only mapping cannot be handed to another process
        counts = (self.scanned_bytes, self.skipped_bytes, self.scanned_fields, self.skipped_fields)
        return Coverage, (self.format, *counts, skipped, self.structure)


@dataclass(frozen=True, slots=True)
class Filtered:
    """A rewritten text; empty when `blocked` names the value that blocked it."""

    text: str
    findings: tuple[Finding, ...]
    coverage: Coverage
    blocked: Finding | None = None
