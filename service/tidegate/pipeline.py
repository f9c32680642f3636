"""identify → authorize → accept the body → admit → inspect the prompts: the decision, read aloud."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, Protocol

from tidegate.admission.charges import charges_for
from tidegate.admission.ledger import NOTHING
from tidegate.admission.queue.fair_queue import Queue
from tidegate.admission.queue.terms import Capacity, Demand, Overload, Place
from tidegate.authorization import Access, authorize, find_endpoint
from tidegate.clock import Clock, SystemClock
from tidegate.demands import attributes_of, costs_asked, demand_of, overloaded, refusal_of
from tidegate.errors import StoreUnavailable
from tidegate.inbound.asked import CHARGED, UNUSED, only_asked
from tidegate.inbound.body import Content
from tidegate.inbound.inspector import Inspector
from tidegate.inbound.telling import told_upstream
from tidegate.laps import Lap, Watch
from tidegate.model import (
    Admission,
    Allow,
    Charge,
    Decision,
    Deny,
    Identity,
    Inspection,
    Proof,
    Reason,
    Request,
    proof_of,
)
from tidegate.outward import dialect_of
from tidegate.policy.compiled import Endpoint, Policy
from tidegate.usage.costs import hold_for, hold_seconds, is_priced
from tidegate.usage.price import counts_money

_MAX_CONVERSATION: Final = 256
_UNAUDITED: Final = Deny(
    503, Reason.AUDIT_UNAVAILABLE, "The request cannot be put on record now.", (("retry-after", "1"),)
)
_GRACE: Final = 5.0
"""How much longer than the wait in a queue a reservation lives that is only there to be taken back, seconds."""


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

    async def settle(self, reservation: str, costs: Mapping[str, int]) -> bool:
        """Replace reserved costs by actual ones, once. Raises `StoreUnavailable`."""
        ...


class Pipeline:
    """Decides one request under the policy in force. The verdict is deny unless every phase says otherwise.

    `on_error` is told of each unexpected exception; the caller learns only that the answer is no. Without a `queue` the
    capacity of endpoints is not enforced. `audited` says whether a decision taken now will be kept on record. `clock`
    times the phases.
    """

    def __init__(
        self,
        *,
        policy: Callable[[], Policy],
        identifier: Identifies,
        ledger: Reserves,
        on_error: Callable[[Exception], None] | None = None,
        queue: Queue | None = None,
        audited: Callable[[], bool] = lambda: True,
        inspector: Inspector | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._policy = policy
        self._identifier = identifier
        self._ledger = ledger
        self._on_error = on_error
        self._queue = queue
        self._audited = audited
        self._inspector = inspector or Inspector()
        self._now = (clock or SystemClock()).monotonic
        self._cancelling: set[asyncio.Task[None]] = set()

    async def decide(self, request: Request) -> Decision:
        """One decision, one record. Never raises."""
        policy = self._policy()
        if policy.audit_required and not self._audited():
            return _refused(policy, request, _UNAUDITED)
        watch = Watch(self._now)
        try:
            return await self._decide(policy, request, watch)
        except StoreUnavailable as failure:
            detail = type(failure).__name__
            deny = Deny(503, Reason.STORE_UNAVAILABLE, "Limits cannot be checked now.", (("retry-after", "1"),), detail)
        except Exception as failure:  # noqa: BLE001 - the one place where anything unexpected becomes a deny
            if self._on_error is not None:
                self._on_error(failure)
            deny = Deny(500, Reason.INTERNAL, "The request could not be decided.", detail=type(failure).__name__)
        return _refused(policy, request, deny, laps=watch.stop())

    async def _decide(self, policy: Policy, request: Request, watch: Watch) -> Decision:
        watch.begin("identify")
        identity = await self._identifier.identify(policy, request)
        if isinstance(identity, Deny):
            return _refused(policy, request, identity, laps=watch.stop())
        watch.begin("authorize")
        access = authorize(policy, identity, request)
        if isinstance(access, Deny):
            return _refused(policy, request, access, identity, laps=watch.stop())
        endpoint = access.endpoint
        content: Content | Deny | None = None
        if endpoint.request is not None:
            watch.begin("accept")
            content = await self._inspector.accept(endpoint.request, request)
        if isinstance(content, Deny):
            return _denied(policy, request, identity, access, content, watch)
        watch.begin("admit")
        return await self._admit(policy, request, identity, access, content, watch)

    async def _admit(
        self,
        policy: Policy,
        request: Request,
        identity: Identity,
        access: Access,
        content: Content | None,
        watch: Watch,
    ) -> Decision:
        endpoint = access.endpoint
        capacity = endpoint.capacity if self._queue is not None else None
        priced = is_priced(access.limits)
        price = policy.prices.of(access.model) if counts_money(access.limits) else None
        costs = costs_asked(request, access, capacity, price)
        if isinstance(costs, Deny):
            return _denied(policy, request, identity, access, costs, watch)
        charges = charges_for(
            access.limits, attributes_of(request, identity, access), costs.as_mapping() if priced else 1
        )
        hold = hold_seconds(access.limits)
        brief = None if capacity is None and content is None else (capacity.max_wait if capacity else 0.0) + _GRACE
        admission = await self._ledger.reserve(charges, hold=brief if hold is None else hold)
        verdict: Allow | Deny | None = refusal_of(admission)
        place = Place(endpoint.name, "")
        inspection = None
        if verdict is None and content is not None:
            # After the charge: who is over a limit has nothing read, and who probes for what passes pays for each try.
            watch.begin("inspect")
            inspection, verdict = await self._inspect(policy, endpoint, content, admission.reservation)
            if verdict is not None:
                admission, charges = only_asked(admission, charges, verdict)
        if verdict is None and capacity is not None:
            watch.begin("queue")
            demand = demand_of(policy, identity, capacity, costs)
            entered = await self._enter(endpoint.name, capacity, demand, admission.reservation)
            if isinstance(entered, Overload):
                admission = replace(admission, states=(), reservation="")
                verdict = overloaded(entered, demand)
            else:
                place = entered
        if hold is None and admission.reservation:
            admission = replace(admission, reservation="")  # it stands, and needs no settlement
        if verdict is None:
            verdict = Allow(
                identity,
                endpoint.name,
                access.model,
                access.rulesets,
                admission,
                endpoint.unscannable,
                endpoint.max_response,
                costs.prompt_tokens if priced else 0,
                price,
                hold_for(access.limits, costs, hold),
                place.ticket,
                _conversation(request, endpoint.conversation),
                endpoint.structure is not None,
                told_upstream(inspection) if endpoint.request is not None and endpoint.request.tells else (),
                _hangs_on(policy, identity),
            )
        return Decision(
            request,
            verdict,
            policy.version,
            identity,
            endpoint.name,
            access.model,
            admission,
            endpoint.errors,
            charges,
            inspection,
            charged=isinstance(verdict, Deny) and verdict.reason in CHARGED,
            laps=watch.stop(),
            tier=_tier(policy, identity),
        )

    async def _inspect(
        self, policy: Policy, endpoint: Endpoint, content: Content, reservation: str
    ) -> tuple[Inspection, Deny | None]:
        """What is in the prompts. Unless they pass, the reservation is settled: nothing of it was used."""
        passed = False
        costs: Mapping[str, int] = NOTHING
        try:
            inspection, deny = await self._inspector.inspect(policy, endpoint, content)
            passed = deny is None
            costs = UNUSED if deny is not None and deny.reason in CHARGED else NOTHING
        finally:
            if reservation and not passed:
                await self._give_back(reservation, costs)
        return inspection, deny

    async def _enter(self, endpoint: str, capacity: Capacity, demand: Demand, reservation: str) -> Place | Overload:
        """A place in the endpoint's capacity; without one, whatever the reason, the reservation is taken back."""
        assert self._queue is not None  # noqa: S101 - asked only where there is one
        place: Place | Overload | None = None
        try:
            place = await self._queue.join(endpoint, capacity, demand)
        finally:
            if reservation and not isinstance(place, Place):
                await self._give_back(reservation, NOTHING)
        return place

    async def _give_back(self, reservation: str, costs: Mapping[str, int]) -> None:
        """Settle what will not run, also where the caller is gone meanwhile."""
        cancelling = asyncio.create_task(self._cancel(reservation, costs))
        self._cancelling.add(cancelling)
        cancelling.add_done_callback(self._cancelling.discard)
        await asyncio.shield(cancelling)

    async def _cancel(self, reservation: str, costs: Mapping[str, int]) -> None:
        try:
            await self._ledger.settle(reservation, costs)
        except StoreUnavailable:
            pass  # what was reserved stands, as after any outage
        except Exception as failure:  # noqa: BLE001 - the refusal is the answer, whatever becomes of the charge
            if self._on_error is not None:
                self._on_error(failure)


def _conversation(request: Request, header: str) -> str:
    """What the caller says that the request is part of. A name that is too long is none, rather than cut."""
    named = request.headers.get(header, "") if header else ""
    return named if len(named) <= _MAX_CONVERSATION else ""


def _hangs_on(policy: Policy, identity: Identity) -> Proof | None:
    """What a response hangs on while it runs; None where it is finished whatever becomes of the credential."""
    wanted = policy.revocation
    if wanted is None or not policy.ends_streams:
        return None
    proof = proof_of(identity)
    return proof if wanted.ends_revoked else proof._replace(inquiry="", asked=None)


def _refused(
    policy: Policy, request: Request, deny: Deny, identity: Identity | None = None, *, laps: tuple[Lap, ...] = ()
) -> Decision:
    """A refusal before an endpoint was looked up, or in spite of one: it is told in that one's error shape."""
    found = find_endpoint(policy, request.host, request.path, request.method)
    endpoint, dialect = (found[0].name, found[0].errors) if found else ("", dialect_of(request.path))
    tier = _tier(policy, identity)
    return Decision(request, deny, policy.version, identity, endpoint, dialect=dialect, laps=laps, tier=tier)


def _denied(policy: Policy, request: Request, identity: Identity, access: Access, deny: Deny, watch: Watch) -> Decision:
    """A refusal of what was authorized, before anything was charged."""
    endpoint = access.endpoint
    return Decision(
        request,
        deny,
        policy.version,
        identity,
        endpoint.name,
        access.model,
        dialect=endpoint.errors,
        laps=watch.stop(),
        tier=_tier(policy, identity),
    )


def _tier(policy: Policy, identity: Identity | None) -> str:
    return identity.tier if identity is not None and identity.tier in policy.tiers else ""
