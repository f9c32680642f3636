"""identify → authorize → admit: the decision, read aloud."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol

from tidegate.admission.charges import charges_for
from tidegate.authorization import Access, authorize, find_endpoint
from tidegate.errors import StoreUnavailable
from tidegate.model import Admission, Allow, Charge, Decision, Deny, Identity, Price, Reason, Request, exceeded
from tidegate.outward import Dialect, dialect_of, retry_after
from tidegate.policy.compiled import Policy
from tidegate.usage.costs import Costs, hold_for, hold_seconds, is_priced
from tidegate.usage.estimate import costs_of
from tidegate.usage.price import counts_money, in_money


class Identifies(Protocol):
    """Establishes who calls."""

    async def identify(self, policy: Policy, request: Request) -> Identity | Deny:
        """The caller's identity, or why there is none."""
        ...


class Reserves(Protocol):
    """Takes every charge or none."""

    async def reserve(self, charges: Sequence[Charge], *, hold: float | None = None) -> Admission:
        """Raises `StoreUnavailable` when nobody can count."""
        ...


class Pipeline:
    """Decides one request under the policy in force. The verdict is deny unless every phase says otherwise.

    `on_error` is told of each unexpected exception; the caller learns only that the answer is no.
    """

    def __init__(
        self,
        *,
        policy: Callable[[], Policy],
        identifier: Identifies,
        ledger: Reserves,
        on_error: Callable[[Exception], None] | None = None,
    ) -> None:
        self._policy = policy
        self._identifier = identifier
        self._ledger = ledger
        self._on_error = on_error

    async def decide(self, request: Request) -> Decision:
        """One decision, one record. Never raises."""
        policy = self._policy()
        try:
            return await self._decide(policy, request)
        except StoreUnavailable as failure:
            detail = type(failure).__name__
            deny = Deny(503, Reason.STORE_UNAVAILABLE, "Limits cannot be checked now.", (("retry-after", "1"),), detail)
        except Exception as failure:  # noqa: BLE001 - the one place where anything unexpected becomes a deny
            if self._on_error is not None:
                self._on_error(failure)
            deny = Deny(500, Reason.INTERNAL, "The request could not be decided.", detail=type(failure).__name__)
        return Decision(request, deny, policy.version, dialect=_dialect(policy, request))

    async def _decide(self, policy: Policy, request: Request) -> Decision:
        identity = await self._identifier.identify(policy, request)
        if isinstance(identity, Deny):
            return Decision(request, identity, policy.version, dialect=_dialect(policy, request))
        access = authorize(policy, identity, request)
        if isinstance(access, Deny):
            return Decision(request, access, policy.version, identity, dialect=_dialect(policy, request))
        return await self._admit(policy, request, identity, access)

    async def _admit(self, policy: Policy, request: Request, identity: Identity, access: Access) -> Decision:
        endpoint = access.endpoint
        attributes = {
            "tenant": identity.tenant,
            "subject": identity.subject,
            "client_id": identity.client_id,
            "tier": identity.tier,
            "scope": endpoint.scope,
            "model": access.model,
            "endpoint": endpoint.name,
            "client_ip": request.client_ip,
            "api_key": identity.credential,
            "method": request.method,
        }
        verdict: Allow | Deny
        seconds = hold_seconds(access.limits)
        estimate = Costs()
        price: Price | None = None
        if is_priced(access.limits):
            costs = costs_of(request)
            if not isinstance(costs, Deny) and counts_money(access.limits):
                price = policy.prices.of(access.model)
                costs = _unpriced(access.model) if price is None else in_money(costs, price)
            if isinstance(costs, Deny):
                return Decision(
                    request, costs, policy.version, identity, endpoint.name, access.model, dialect=endpoint.errors
                )
            estimate = costs
            admission = await self._ledger.reserve(
                charges_for(access.limits, attributes, costs.as_mapping()), hold=seconds
            )
        else:
            admission = await self._ledger.reserve(charges_for(access.limits, attributes), hold=seconds)
        if admission.refused is None:
            verdict = Allow(
                identity,
                endpoint.name,
                access.model,
                access.rulesets,
                admission,
                endpoint.unscannable,
                endpoint.max_response,
                estimate.prompt_tokens,
                price,
                hold_for(access.limits, estimate, seconds),
            )
        else:
            name = admission.refused.limit.name
            message = (
                f"The request is larger than limit '{name}' allows."
                if math.isinf(admission.refused.retry_after)
                else f"Limit '{name}' is exhausted."
            )
            violated = tuple(dict.fromkeys(limit.name for limit in exceeded(admission)))
            headers = retry_after(admission.refused)
            verdict = Deny(429, Reason.LIMIT_EXCEEDED, message, headers, detail=name, violated=violated)
        return Decision(
            request, verdict, policy.version, identity, endpoint.name, access.model, admission, endpoint.errors
        )


def _unpriced(model: str) -> Deny:
    """A policy that was loaded has a price wherever a limit counts money; what has none is not free."""
    detail = f"model {model!r} has no price"
    return Deny(403, Reason.MODEL_NOT_ALLOWED, "The model has no price here.", detail=detail)


def _dialect(policy: Policy, request: Request) -> Dialect:
    """The endpoint's error shape where one matches; a refusal may come before any endpoint was looked up."""
    found = find_endpoint(policy, request.host, request.path)
    return found[0].errors if found else dialect_of(request.path)
