"""What a caller sees: refusals as HTTP answers in the caller's own dialect, and the state of the limits as headers."""

from __future__ import annotations

import math
from typing import Literal

import orjson

from tidegate.model import Admission, Deny, Limit, LimitState, Unit, window_seconds

Dialect = Literal["openai", "problem"]
Headers = tuple[tuple[str, str], ...]

_OPENAI_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
}
_TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Content Too Large",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
}

_QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"
_QUOTA_UNITS: dict[Unit, str] = {
    "requests": "",
    "request_bytes": ';qu="content-bytes"',
    "tokens": ';tidegate-unit="tokens"',
    "prompt_tokens": ';tidegate-unit="prompt-tokens"',
    "completion_tokens": ';tidegate-unit="completion-tokens"',
    "money": ';tidegate-unit="micro-{currency}"',
}
_TOKENS: frozenset[Unit] = frozenset({"tokens", "prompt_tokens", "completion_tokens"})
_MAX_KNOWN = 100_000
_known_policies: dict[int, tuple[Limit, str]] = {}


def dialect_of(path: str) -> Dialect:
    """The error shape a caller of `path` expects when no endpoint says otherwise: OpenAI's under /v1/."""
    return "openai" if path.startswith("/v1/") else "problem"


def render(deny: Deny, request_id: str, dialect: Dialect) -> tuple[int, Headers, bytes]:
    """A refusal as (status, headers, body): OpenAI's error object, or `application/problem+json` (RFC 9457).

    A problem of limits has the type that draft-ietf-httpapi-ratelimit-headers-10 (section 5) registers, and names the
    limits by what `RateLimit-Policy` calls them; OpenAI's object has no place for that but the message.
    """
    if dialect == "openai":
        content_type = "application/json"
        body = openai_error(deny.status, str(deny.reason), deny.message)
    else:
        content_type = "application/problem+json"
        problem = {
            "type": "about:blank",
            "title": _TITLES.get(deny.status, "Refused"),
            "status": deny.status,
            "detail": deny.message,
            "code": str(deny.reason),
            "request_id": request_id,
        }
        if deny.violated:
            problem |= {"type": _QUOTA_EXCEEDED, "violated-policies": deny.violated}
        body = orjson.dumps(problem)
    headers = (("content-type", content_type), ("cache-control", "no-store"), ("x-request-id", request_id))
    return deny.status, headers + deny.headers, body


def openai_error(status: int, code: str, message: str) -> bytes:
    """OpenAI's error object, as its clients parse it."""
    kind = _OPENAI_TYPES.get(status, "api_error")
    return orjson.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}})


def limit_headers(admission: Admission) -> Headers:
    """State of every limit (draft-ietf-httpapi-ratelimit-headers-10) and OpenAI's view of the tightest of each unit.

    `RateLimit-Policy` items carry q (units), w (seconds) and, where the unit is not requests, qu. The draft registers
    qu="content-bytes" but nothing for tokens or money, and lets a service add parameters under its own prefix:
    tidegate-unit, which for money is "micro-usd" or the like.
    `RateLimit` items carry r (units left) and t (seconds to full). What runs at once has qu="concurrent-requests",
    and neither w nor t: a place is free when an exchange is over. OpenAI has no headers for it.
    """
    states = admission.states
    if not states:
        return ()
    requests = tokens = None
    for state in states:
        unit = state.limit.cost
        if state.limit.algorithm == "concurrency":
            continue
        if unit == "requests":
            if requests is None or state.remaining < requests.remaining:
                requests = state
        elif unit in _TOKENS and (tokens is None or state.remaining < tokens.remaining):
            tokens = state
    headers: Headers = (
        ("ratelimit-policy", ", ".join([_policy(s.limit) for s in states])),
        ("ratelimit", ", ".join([_left(s) for s in states])),
    )
    if requests is not None:
        headers += _openai("requests", requests)
    return headers if tokens is None else headers + _openai("tokens", tokens)


def _openai(word: str, tightest: LimitState) -> Headers:
    return (
        (f"x-ratelimit-limit-{word}", str(tightest.limit.capacity)),
        (f"x-ratelimit-remaining-{word}", str(max(0, tightest.remaining))),
        (f"x-ratelimit-reset-{word}", _duration(tightest.reset_after)),
    )


def trace_headers(trace: str) -> Headers:
    """Names the decision's span to the client; `trace` is it as a `traceparent`, with or without a `tracestate`.

    `traceresponse` is of the editor's draft of W3C Trace Context; OpenTelemetry's instrumentations send it.
    """
    return (("traceresponse", trace.partition(" ")[0]),) if trace else ()


def retry_after(state: LimitState) -> Headers:
    """`Retry-After` in whole seconds, rounded up so that an obedient client is admitted; none when waiting is vain."""
    if math.isinf(state.retry_after):
        return ()
    return (("retry-after", str(max(1, math.ceil(state.retry_after)))),)


def _policy(limit: Limit) -> str:
    """A limit as an item of `RateLimit-Policy`. Found by identity, because hashing a Limit costs more than the item."""
    known = _known_policies.get(id(limit))
    if known is not None:
        return known[1]
    if len(_known_policies) >= _MAX_KNOWN:
        _known_policies.clear()
    if limit.algorithm == "concurrency":
        item = f'"{limit.name}";q={limit.capacity};qu="concurrent-requests"'
    else:
        unit = _QUOTA_UNITS[limit.cost].format(currency=limit.currency.lower())
        item = f'"{limit.name}";q={limit.capacity};w={window_seconds(limit)}{unit}'
    _known_policies[id(limit)] = (limit, item)  # keeps the limit alive, so that its id is nobody else's
    return item


def _left(state: LimitState) -> str:
    """How a limit stands as an item of `RateLimit`."""
    item = f'"{state.limit.name}";r={state.remaining}'
    return item if state.limit.algorithm == "concurrency" else f"{item};t={math.ceil(state.reset_after)}"


def _duration(seconds: float) -> str:
    """OpenAI's duration form: "120ms", "1s", "6m0s"."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    whole = math.ceil(seconds)
    if whole < 60:
        return f"{whole}s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes}m{rest}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60}m{rest}s"
