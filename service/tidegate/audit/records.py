"""What is written of a decision and of a response. Nothing that a caller made up, but for whom it was proven to be.

A path is written as the template that it matched, a method if it is one of HTTP's, a model if the policy names it and
else as a digest: a secret may stand anywhere in a request. Of a refusal the reason is written and the limit, never the
text. Nothing is read of a body but what the receipt says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final, NamedTuple

from tidegate.authorization import find_endpoint
from tidegate.envoy.exchange import Exchange
from tidegate.envoy.handoff import Handoff
from tidegate.filtering.formats import Coverage
from tidegate.model import Admission, Allow, Charge, Decision, Deny, Identity, Inspection, Limit, exceeded
from tidegate.policy.compiled import Policy
from tidegate.revealing import Asked

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})


class Decided(NamedTuple):
    """What is kept of a decision until it is written: not the request, whose body may be large."""

    at: float
    request_id: str
    method: str
    host: str
    path: str
    verdict: Allow | Deny
    policy: str
    identity: Identity | None
    endpoint: str
    model: str
    admission: Admission | None
    charges: tuple[Charge, ...]
    inspection: Inspection | None
    charged: bool


class Answered(NamedTuple):
    """What is kept of a response until it is written. `sent` is bytes of it that were handed to Envoy."""

    at: float
    request_id: str
    handoff: Handoff | None
    outcome: str
    failure: str
    coverage: Coverage
    sent: int
    costs: Mapping[str, int] | None


class Revealed(NamedTuple):
    """What is kept of a call to turn a pseudonym back."""

    at: float
    asked: Asked


def decided(at: float, decision: Decision) -> Decided:
    """What is kept of a decision taken at `at`, Unix seconds."""
    request = decision.request
    return Decided(
        at,
        request.id,
        request.method,
        request.host,
        request.path,
        decision.verdict,
        decision.policy,
        decision.identity,
        decision.endpoint,
        decision.model,
        decision.admission,
        decision.charges,
        decision.inspection,
        decision.charged,
    )


def answered(at: float, exchange: Exchange, request_id: str, coverage: Coverage) -> Answered:
    """What is kept of an exchange that is over."""
    return Answered(
        at,
        request_id,
        exchange.handoff,
        exchange.outcome,
        exchange.failure,
        coverage,
        exchange.sent,
        exchange.settled,
    )


@dataclass(frozen=True, slots=True)
class Names:
    """What a policy names: the path of each endpoint, and the models. `key` is of the digest of all other models."""

    policy: Policy
    key: bytes = b""
    paths: Mapping[str, str] = field(init=False, repr=False)
    models: frozenset[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        policy = self.policy
        rules = [endpoint.model for endpoint in policy.endpoints if endpoint.model]
        models = {name for rule in rules for allowed in rule.allowed.values() for name in allowed}
        object.__setattr__(self, "paths", {endpoint.name: endpoint.path for endpoint in policy.endpoints})
        object.__setattr__(self, "models", frozenset(models | set(policy.prices.models)))

    def endpoint(self, entry: Decided) -> str:
        """The endpoint that the request was for, looked up where it was refused before anybody looked."""
        if entry.endpoint:
            return entry.endpoint
        found = find_endpoint(self.policy, entry.host, entry.path)
        return found[0].name if found else ""

    def model(self, name: str) -> str:
        """A model's name as it is written."""
        return name if not name or name in self.models else self.digest(name)

    def digest(self, text: str) -> str:
        """What tells two texts apart and says nothing of them."""
        return "~" + blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16, key=self.key).hexdigest()


def decision_fields(entry: Decided, names: Names) -> dict[str, Any]:
    """The record of a decision."""
    verdict, identity, admission = entry.verdict, entry.identity, entry.admission
    endpoint = names.endpoint(entry)
    shadowed = [state.limit for state in admission.shadowed] if admission else []
    allowed = isinstance(verdict, Allow)
    paid = entry.charges if allowed or entry.charged else ()
    charged = [_charged(charge) for charge in paid if charge.limit not in shadowed]
    return {
        "request_id": entry.request_id,
        **_who(identity),
        "method": entry.method if entry.method in _METHODS else "other",
        "endpoint": endpoint,
        "path": names.paths.get(endpoint, ""),
        "model": names.model(entry.model),
        "verdict": "allow" if allowed else "deny",
        "status": 0 if isinstance(verdict, Allow) else verdict.status,
        "reason": "" if isinstance(verdict, Allow) else str(verdict.reason),
        "exceeded": [_name(limit) for limit in exceeded(admission)] if admission else [],
        "shadowed": [_name(limit) for limit in shadowed],
        "charged": charged,
        "inspection": None if entry.inspection is None else _inspection(entry.inspection),
        "enforcement": admission.enforcement if admission else "none",
        "policy": entry.policy,
    }


def _inspection(inspection: Inspection) -> dict[str, Any]:
    return {
        "fault": inspection.fault,
        "findings": _findings(inspection.findings),
        "scores": dict(sorted(inspection.scores.items())),
        "unread": dict(sorted(inspection.unread.items())),
    }


def _findings(findings: Mapping[tuple[str, str], int]) -> list[dict[str, Any]]:
    return [
        {"action": action, "count": count, "entity": entity} for (entity, action), count in sorted(findings.items())
    ]


def response_fields(entry: Answered, names: Names) -> dict[str, Any]:
    """The record of a response. Its `costs` are null where nothing was reserved, {} where what was reserved stands."""
    handoff, coverage = entry.handoff, entry.coverage
    return {
        "request_id": entry.request_id,
        "subject": handoff.subject if handoff else "",
        "tenant": handoff.tenant if handoff else "",
        "tier": handoff.tier if handoff else "",
        "endpoint": handoff.endpoint if handoff else "",
        "model": names.model(handoff.model) if handoff else "",
        "policy": handoff.policy if handoff else "",
        "outcome": entry.outcome,
        "failure": entry.failure,
        "format": coverage.format,
        "scanned_bytes": coverage.scanned_bytes,
        "skipped_bytes": coverage.skipped_bytes,
        "scanned_fields": coverage.scanned_fields,
        "skipped_fields": coverage.skipped_fields,
        "skipped": dict(sorted(coverage.skipped.items())),
        "findings": _findings(coverage.findings),
        "structure": coverage.structure,
        "sent_bytes": entry.sent,
        "costs": None if entry.costs is None else dict(sorted(entry.costs.items())),
    }


def reveal_fields(entry: Revealed, names: Names) -> dict[str, Any]:
    """The record of a call to turn a pseudonym back: who, which one, why, and whether; never the value."""
    asked = entry.asked
    return {
        "request_id": asked.request_id,
        **_who(asked.identity),
        "pseudonym": names.digest(asked.pseudonym),
        "entity": asked.entity,
        "why": asked.reason,
        "verdict": "allow" if asked.verdict is None else "deny",
        "status": 0 if asked.verdict is None else asked.verdict.status,
        "reason": "" if asked.verdict is None else str(asked.verdict.reason),
        "policy": asked.policy,
    }


def _who(identity: Identity | None) -> dict[str, str]:
    if identity is None:
        return dict.fromkeys(("subject", "tenant", "tier", "client_id", "credential", "authentication"), "")
    return {
        "subject": identity.subject,
        "tenant": identity.tenant,
        "tier": identity.tier,
        "client_id": identity.client_id,
        "credential": identity.credential,
        "authentication": identity.method,
    }


def _charged(charge: Charge) -> dict[str, Any]:
    return {"cost": charge.cost, "limit": _name(charge.limit), "unit": charge.limit.cost}


def _name(limit: Limit) -> str:
    return f"{limit.scope} {limit.name}"
