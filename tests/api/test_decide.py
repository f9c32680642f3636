"""Decisions over our own API: with their turn in the queue and their token, and recorded whatever becomes of them."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

from jose import jwt
from tidegate.admission.memory import MemoryLedger
from tidegate.admission.queue.fair_queue import FairQueue
from tidegate.admission.queue.places import MemoryPlaces
from tidegate.admission.queue.terms import Capacity, Demand, Place
from tidegate.api import tidegate_pb2 as pb
from tidegate.clock import SystemClock
from tidegate.errors import StoreUnavailable
from tidegate.model import Decision, Deny, Reason
from tidegate.policy.signing_keys import ContextToken, signing_key

from tests.api.calls import ask, channel_to
from tests.client.world import HOST, SpyLedger, World, make_servicer
from tests.policy.test_signing_keys import pem


async def test_a_store_that_is_out_denies_a_decision(world: World) -> None:
    ledger = SpyLedger(MemoryLedger(SystemClock()), StoreUnavailable("down"))
    async with channel_to(make_servicer(world, ledger)) as channel:
        name, value = world.credential("paul")
        request = pb.DecideRequest(
            method="POST", host=HOST, path="/api/score", headers=[pb.Header(name=name, value=value)]
        )
        answer = await ask(channel, "Decide", request, pb.DecideResponse)
    assert (answer.deny.http_status, answer.deny.reason) == (503, "limits_unavailable")


async def test_a_decision_takes_its_turn_in_the_queue_and_holds_no_place(world: World) -> None:
    full = Capacity(concurrent=1, queue=0)
    endpoints = tuple(dataclasses.replace(endpoint, capacity=full) for endpoint in world.policy.endpoints)
    busy = dataclasses.replace(world, policy=dataclasses.replace(world.policy, endpoints=endpoints))
    clock = SystemClock()
    queue = FairQueue(MemoryPlaces(clock), clock, where="m")
    servicer = make_servicer(busy, queue=queue)
    name, value = world.credential("paul")
    request = pb.DecideRequest(method="POST", host=HOST, path="/api/score", headers=[pb.Header(name=name, value=value)])
    for _ in range(3):
        assert (await servicer.decide(request)).WhichOneof("verdict") == "allow"
    endpoint = (await servicer.decide(request)).allow.endpoint
    assert isinstance(await queue.join(endpoint, full, Demand("acme", "critical", 1, 1)), Place)
    refused = (await servicer.decide(request)).deny
    assert (refused.http_status, refused.reason) == (503, "overloaded")
    assert "retry-after" in {header.name for header in refused.headers}


async def test_a_decision_brings_the_context_token_that_the_application_may_verify(world: World) -> None:
    key = signing_key(pem("P-256"), where="it", private=True)
    signing = dataclasses.replace(world, policy=replace(world.policy, context_token=ContextToken("gate", (key,))))
    name, value = world.credential("paul")
    headers = [pb.Header(name=name, value=value), pb.Header(name="X-Tidegate-Identity", value="forged")]
    request = pb.DecideRequest(method="POST", host=HOST, path="/api/score", headers=headers)
    allowed = (await make_servicer(signing).decide(request)).allow
    (token,) = (header.value for header in allowed.request_headers if header.name == "x-tidegate-identity")
    assert jwt.decode(token, dict(key.jwk), ["ES256"], audience=allowed.endpoint, issuer="gate")["sub"] == "paul"
    assert "x-tidegate-identity" in allowed.removed_request_headers
    plain = (await make_servicer(world).decide(request)).allow
    assert "x-tidegate-identity" not in {header.name for header in plain.request_headers}


async def test_decisions_are_recorded_malformed_ones_too(world: World) -> None:
    records: list[tuple[Decision, float]] = []
    servicer = make_servicer(world, record=lambda decision, seconds: records.append((decision, seconds)))

    await servicer.decide(pb.DecideRequest(request_id="r-1", method="POST", host=HOST, path="/api/score"))
    await servicer.decide(pb.DecideRequest(request_id="r-2", method="POST", host=HOST, path="/v1//x"))

    [(first, seconds), (second, _)] = records
    assert isinstance(first.verdict, Deny)
    assert isinstance(second.verdict, Deny)
    assert (first.request.id, first.verdict.reason) == ("r-1", Reason.CREDENTIAL_MISSING)
    assert (second.request.id, second.verdict.reason) == ("r-2", Reason.REQUEST_MALFORMED)
    assert (second.policy, second.dialect) == (world.policy.version, "openai")
    assert seconds >= 0
