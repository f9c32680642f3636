"""An explanation as a person reads it, and as a program does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tidegate.model import Allow, Charge, Deny, Limit
from tidegate.policy.durations import duration_text
from tidegate.rehearsal.explanation import Explanation

_MARKS = {"holds": "yes", "refuses": "NO"}


def text(explanation: Explanation) -> str:
    """Rule by rule, then limits, capacity, rulesets and the verdict."""
    return "\n".join(_lines(explanation))


def limit_name(limit: Limit) -> str:
    """What a limit is called: its scope and its name, `tier:free/rpm`."""
    return f"{limit.scope}/{limit.name}"


def record(explanation: Explanation) -> dict[str, Any]:
    """The same for JSON."""
    decision, who = explanation.decision, explanation.decision.identity
    return {
        "policy": decision.policy,
        "request": {"method": decision.request.method, "host": decision.request.host, "path": decision.request.path},
        "identity": who
        and {
            "subject": who.subject,
            "tenant": who.tenant,
            "tier": who.tier,
            "method": who.method,
            "roles": sorted(who.roles),
            "scopes": sorted(who.scopes),
            "client_id": who.client_id,
            "credential": who.credential,
        },
        "steps": [
            {"rule": step.rule, "outcome": step.outcome, "says": step.says, "parts": list(step.parts)}
            for step in explanation.steps
        ],
        "limits": [_charge_record(charge) for charge in explanation.charges],
        "capacity": explanation.capacity,
        "rulesets": [{"name": name, "from": list(sources)} for name, sources in explanation.rulesets],
        "verdict": verdict_record(explanation),
    }


def verdict_record(explanation: Explanation) -> dict[str, Any]:
    """The verdict alone."""
    verdict = explanation.decision.verdict
    if isinstance(verdict, Allow):
        return {"effect": "allow", "endpoint": verdict.endpoint, "model": verdict.model}
    return {
        "effect": "deny",
        "status": verdict.status,
        "reason": str(verdict.reason),
        "message": verdict.message,
        "rule": verdict.rule,
        "detail": verdict.detail,
    }


def _lines(explanation: Explanation) -> Iterator[str]:
    decision = explanation.decision
    request = decision.request
    if request.path:
        yield f"{request.method} {request.host}{request.path} under policy {decision.policy}"
        yield ""
    for step in explanation.steps:
        yield f"{_MARKS[step.outcome]:<4}{step.rule}: {step.says}"
        for part in step.parts:
            yield f"      {part}"
    if explanation.charges:
        yield ""
        yield "limits"
    for charge in explanation.charges:
        yield f"      {_charge(charge)}"
    if explanation.capacity:
        yield ""
        yield f"capacity: {explanation.capacity}"
    if explanation.rulesets:
        yield ""
        yield "rulesets that the response passes"
    for name, sources in explanation.rulesets:
        yield f"      {name}, by {', '.join(sources)}"
    yield ""
    yield verdict_line(explanation)


def verdict_line(explanation: Explanation) -> str:
    """The verdict in one line, with the detail that a caller never sees."""
    verdict = explanation.decision.verdict
    if isinstance(verdict, Deny):
        detail = f" ({verdict.detail})" if verdict.detail else ""
        return f"DENY {verdict.status} {verdict.reason}: {verdict.message}{detail}"
    return f"ALLOW {verdict.endpoint}" + (f", model {verdict.model}" if verdict.model else "")


def _charge(charge: Charge) -> str:
    limit = charge.limit
    key = f"key {charge.key!r}" if limit.per else "one key for all"
    shadow = ", shadow" if limit.shadow else ""
    return f"{limit_name(limit)}: {_rate(limit)}; {key}; cost {charge.cost} {limit.cost}{shadow}"


def _rate(limit: Limit) -> str:
    unit = f" {limit.cost} (millionths of {limit.currency})" if limit.currency else ""
    match limit.algorithm:
        case "token_bucket":
            return f"token_bucket of {limit.capacity}{unit}, {limit.refill} each {duration_text(limit.period)}"
        case "quota":
            return f"quota of {limit.capacity}{unit} each {limit.resets}, {limit.time_zone}"
        case "concurrency":
            return f"concurrency of {limit.capacity}"
    return f"{limit.algorithm} of {limit.capacity}{unit} in {duration_text(limit.period)}"


def _charge_record(charge: Charge) -> dict[str, Any]:
    limit = charge.limit
    return {
        "scope": limit.scope,
        "name": limit.name,
        "algorithm": limit.algorithm,
        "capacity": limit.capacity,
        "period": limit.period,
        "per": list(limit.per),
        "key": charge.key,
        "cost": charge.cost,
        "unit": limit.cost,
        "shadow": limit.shadow,
    }
