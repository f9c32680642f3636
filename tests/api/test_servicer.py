"""The servicer on a real grpc.aio server, called with bare messages: statuses, stream order, and what is recorded."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from jose import jwt
from tidegate.admission.memory import MemoryLedger
from tidegate.admission.queue.fair_queue import FairQueue
from tidegate.admission.queue.places import MemoryPlaces
from tidegate.admission.queue.terms import Capacity, Demand, Place
from tidegate.api import tidegate_pb2 as pb
from tidegate.api.faults import InvalidCall, fault_of
from tidegate.api.servicer import SERVICE
from tidegate.clock import SystemClock
from tidegate.errors import BodyTooLarge, MalformedBody, PolicyError, ProtocolViolation, StoreUnavailable, TidegateError
from tidegate.filtering.formats.json_body import JsonBody
from tidegate.model import Decision, Deny, Limit, Reason
from tidegate.policy.signing_keys import ContextToken, signing_key

from tests.admission.world import SECOND, HandClock
from tests.client.world import HOST, SpyLedger, World, make_servicer, make_world, serving
from tests.policy.test_signing_keys import pem

PII = pb.Selection(rulesets=["pii"])
START = pb.FilterStreamRequest(start=pb.FilterStreamRequest.Start(selection=PII))
END = pb.FilterStreamRequest(end=pb.FilterStreamRequest.End())
CHARGE = pb.ConsumeRequest(
    attributes={"tenant": "acme", "tier": "premium", "subject": "ida", "model": "m"}, endpoint="chat", cost=1
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(Path(tmp_path_factory.mktemp("world")))


def text(chunk: str) -> pb.FilterStreamRequest:
    return pb.FilterStreamRequest(text=chunk)


@asynccontextmanager
async def channel_to(servicer: Any) -> AsyncIterator[Any]:
    async with serving(servicer.handlers()) as target, grpc.aio.insecure_channel(target) as channel:
        yield channel


async def ask(channel: Any, rpc: str, message: Any, answer: Any) -> Any:
    method = channel.unary_unary(
        f"/{SERVICE}/{rpc}",
        request_serializer=type(message).SerializeToString,
        response_deserializer=answer.FromString,
    )
    return await method(message, timeout=5)


async def stream(channel: Any, messages: Sequence[pb.FilterStreamRequest]) -> list[pb.FilterStreamResponse]:
    method = channel.stream_stream(
        f"/{SERVICE}/FilterStream",
        request_serializer=pb.FilterStreamRequest.SerializeToString,
        response_deserializer=pb.FilterStreamResponse.FromString,
    )
    call = method(timeout=10)
    answers = []
    for message in messages:
        await call.write(message)
        answers.append(await call.read())
    await call.done_writing()
    while (answer := await call.read()) is not grpc.aio.EOF:
        answers.append(answer)
    return answers


async def test_every_rpc_of_the_proto_is_served(world: World) -> None:
    [handler] = make_servicer(world).handlers()
    service = pb.DESCRIPTOR.services_by_name["PolicyService"]
    assert service.full_name == SERVICE
    for method in service.methods:
        assert handler.service(SimpleNamespace(method=f"/{SERVICE}/{method.name}", invocation_metadata=())) is not None


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (StoreUnavailable("redis://secret-host:6379 refused"), grpc.StatusCode.UNAVAILABLE),
        (RuntimeError("secret-host"), grpc.StatusCode.INTERNAL),
        (TidegateError("secret-host"), grpc.StatusCode.INTERNAL),
    ],
)
async def test_a_failure_is_a_status_that_names_no_cause(
    world: World, failure: Exception, code: grpc.StatusCode
) -> None:
    seen: list[Exception] = []
    ledger = SpyLedger(MemoryLedger(SystemClock()), failure)
    async with channel_to(make_servicer(world, ledger, on_error=seen.append)) as channel:
        for rpc, message, answer in (
            ("Consume", CHARGE, pb.ConsumeResponse),
            ("Settle", pb.SettleRequest(reservation="r"), pb.SettleResponse),
            ("Extend", pb.ExtendRequest(reservation="r", hold_seconds=1), pb.ExtendResponse),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await ask(channel, rpc, message, answer)
            assert caught.value.code() is code
            assert "secret" not in caught.value.details()
    assert seen == ([failure] * 3 if code is grpc.StatusCode.INTERNAL else [])


@pytest.mark.parametrize(
    ("rpc", "message", "answer"),
    [
        ("Consume", pb.ConsumeRequest(cost=1, costs={"requests": 1}), pb.ConsumeResponse),
        ("Settle", pb.SettleRequest(reservation="r", cost=1, costs={"requests": 1}), pb.SettleResponse),
    ],
)
async def test_one_cost_and_costs_by_unit_are_one_too_many(world: World, rpc: str, message: Any, answer: Any) -> None:
    async with channel_to(make_servicer(world)) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ask(channel, rpc, message, answer)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "not both" in caught.value.details()


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


def test_the_table_of_faults() -> None:
    assert fault_of(InvalidCall("unknown endpoint 'x'")) == ("INVALID_ARGUMENT", "unknown endpoint 'x'")
    assert fault_of(ProtocolViolation("no start"))[0] == "INVALID_ARGUMENT"
    assert fault_of(MalformedBody("at byte 7: bob@example.com")) == (
        "INVALID_ARGUMENT",
        "the text is not what its content type says",
    )
    assert fault_of(BodyTooLarge("x"))[0] == "INVALID_ARGUMENT"
    assert fault_of(PolicyError(()))[0] == "INTERNAL"
    assert fault_of(KeyError("secret")) == ("INTERNAL", "internal error")


async def test_a_long_name_is_not_repeated_whole(world: World) -> None:
    async with channel_to(make_servicer(world)) as channel:
        message = pb.FilterTextRequest(selection=pb.Selection(rulesets=["é\n" * 10_000]))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ask(channel, "FilterText", message, pb.FilterTextResponse)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert len(caught.value.details()) < 400
    assert "\n" not in caught.value.details()


async def test_a_text_over_the_cap_is_refused(world: World) -> None:
    async with channel_to(make_servicer(world, max_text=100)) as channel:
        message = pb.FilterTextRequest(text=f'["{"a" * 200}"]', selection=PII, content_type="application/json")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ask(channel, "FilterText", message, pb.FilterTextResponse)
    assert (caught.value.code(), caught.value.details()) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "the text is too large",
    )


STRUCTURED = """
version: 1
tiers: {free: {}}
rulesets: {pii: [{detect: [EMAIL], act: redact}]}
tenants: {acme: {}}
endpoints:
  extract:
    owner: acme
    match: {hosts: ["*"], path: /extract, methods: [POST]}
    rulesets: [pii]
    structure: {answer: {schema: {type: object, required: [total], properties: {total: {type: number}}}}}
  watched:
    owner: acme
    match: {hosts: ["*"], path: /watched, methods: [POST]}
    rulesets: [pii]
    structure: {answer: {schema: {type: object}, act: annotate}}
"""


def _answer(text: str, **more: Any) -> str:
    return json.dumps({"choices": [{"index": 0, "message": {"role": "assistant", "content": text}, **more}]})


def _sent(endpoint: str, text: str, content_type: str = "application/json") -> pb.FilterTextRequest:
    selection = pb.Selection(endpoint=endpoint, tier="free")
    return pb.FilterTextRequest(text=text, selection=selection, content_type=content_type)


async def test_a_response_of_an_endpoint_that_is_named_is_held_to_its_structure(tmp_path: Path) -> None:
    servicer = make_servicer(make_world(tmp_path, STRUCTURED))
    good = await servicer.filter_text(_sent("extract", _answer('{"total": 3, "by": "bob@example.com"}')))
    assert "[EMAIL]" in good.text
    assert (good.coverage.structure, good.HasField("blocked")) == ("valid", False)

    for bad in (_answer('{"total": "3"}'), _answer("no JSON"), '{"unknown": 1}'):
        told = await servicer.filter_text(_sent("extract", bad))
        assert (told.text, told.blocked.entity) == ("", "STRUCTURE")
        assert told.coverage.structure == told.blocked.where

    events = f"data: {json.dumps({'choices': [{'index': 0, 'delta': {'content': '{'}}]})}\n\n" * 2 + "data: [DONE]\n\n"
    stream = await servicer.filter_text(_sent("extract", events, "text/event-stream"))
    assert (stream.text, stream.blocked.entity) == ("", "STRUCTURE")


async def test_what_has_no_structure_is_refused_where_one_is_demanded(tmp_path: Path) -> None:
    world = make_world(tmp_path, STRUCTURED)
    servicer, shadowed = make_servicer(world), make_servicer(world, shadow=True)
    selection = pb.Selection(endpoint="extract", tier="free")
    start = pb.FilterStreamRequest(start=pb.FilterStreamRequest.Start(selection=selection))

    async def messages() -> AsyncIterator[pb.FilterStreamRequest]:
        for message in (start, text('{"total": "bob@example.com"}'), END):
            yield message

    for kind in ("", "text/plain", "text/csv"):
        with pytest.raises(InvalidCall, match="demands a structure of its responses"):
            await servicer.filter_text(_sent("extract", '{"total": 3}', kind))
    with pytest.raises(InvalidCall, match="demands a structure of its responses"):
        _ = [answer async for answer in servicer.filter_stream(messages())]
    passed = [answer async for answer in shadowed.filter_stream(messages())]
    assert "".join(answer.text for answer in passed) == '{"total": "bob@example.com"}'
    assert passed[-1].done.coverage.structure == "unchecked"


async def test_a_structure_that_only_annotates_changes_nothing_and_is_told_of(tmp_path: Path) -> None:
    servicer = make_servicer(make_world(tmp_path, STRUCTURED))
    said = await servicer.filter_text(_sent("watched", _answer("no JSON, bob@example.com")))
    assert "no JSON, [EMAIL]" in said.text
    assert said.coverage.structure == "answer/json"
    assert ("STRUCTURE", "annotate") in {(found.entity, found.action) for found in said.findings}
    plain = await servicer.filter_text(_sent("watched", "bob@example.com", ""))
    assert (plain.text, plain.coverage.structure) == ("[EMAIL]", "unchecked")


async def test_every_message_gets_one_answer(world: World) -> None:
    async with channel_to(make_servicer(world)) as channel:
        answers = await stream(channel, [START, text("bob@exa"), text(""), text("mple.com"), END])
    assert [answer.HasField("done") for answer in answers] == [False, False, False, False, True]
    assert "".join(answer.text for answer in answers) == "[EMAIL]"
    assert [(f.entity, f.count) for f in answers[-1].done.findings] == [("EMAIL", 1)]


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [START],
        [START, text("bob@example.com")],
        [END],
        [text("bob@example.com"), END],
        [START, START, END],
        [pb.FilterStreamRequest()],
        [START, pb.FilterStreamRequest(), END],
        [START, text("a"), START, END],
    ],
)
async def test_a_broken_sequence_ends_in_an_error_and_releases_nothing(
    world: World, messages: list[pb.FilterStreamRequest]
) -> None:
    received: list[pb.FilterStreamResponse] = []
    async with channel_to(make_servicer(world)) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            received += await stream(channel, messages)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert not any("@" in answer.text or answer.HasField("done") for answer in received)


async def test_what_comes_after_the_end_is_not_read(world: World) -> None:
    async def messages() -> AsyncIterator[pb.FilterStreamRequest]:
        for message in (START, text("hello"), END, text("bob@example.com")):
            yield message

    answers = [answer async for answer in make_servicer(world).filter_stream(messages())]
    assert [answer.text for answer in answers] in (["", "hello", ""], ["", "", "hello"])


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


async def test_a_hold_reaches_the_ledger_only_when_asked_for(world: World) -> None:
    ledger = SpyLedger(MemoryLedger(SystemClock()))
    servicer = make_servicer(world, ledger)
    assert (await servicer.consume(CHARGE)).reservation == ""
    held = pb.ConsumeRequest()
    held.CopyFrom(CHARGE)
    held.hold_seconds = 5
    assert (await servicer.consume(held)).reservation != ""
    assert [charge.key for charges in ledger.charged for charge in charges] == ["acme|m", "acme|m"]


async def test_a_place_is_held_until_it_is_settled(world: World) -> None:
    running = Limit("endpoint:chat", "running", "concurrency", 2, 60.0)
    endpoints = tuple(replace(e, limits=(running,)) if e.name == "chat" else e for e in world.policy.endpoints)
    policy = replace(world.policy, endpoints=endpoints)
    servicer = make_servicer(replace(world, policy=policy), ledger=MemoryLedger(SystemClock()))
    with pytest.raises(InvalidCall, match="'running' of endpoint:chat holds a place"):
        await servicer.consume(CHARGE)
    held = pb.ConsumeRequest()
    held.CopyFrom(CHARGE)
    held.hold_seconds, held.cost = 60, 3
    taken = [await servicer.consume(held) for _ in range(3)]
    assert [one.admitted for one in taken] == [True, True, False]
    assert taken[2].refused.name == "running"
    assert (await servicer.settle(pb.SettleRequest(reservation=taken[0].reservation, cost=3))).settled
    assert (await servicer.consume(held)).admitted


async def test_a_place_can_be_given_back_for_as_long_as_it_lasts_however_short_the_hold(world: World) -> None:
    clock = HandClock()
    running = Limit("endpoint:chat", "running", "concurrency", 1, 60.0)
    endpoints = tuple(replace(e, limits=(running,)) if e.name == "chat" else e for e in world.policy.endpoints)
    policy = replace(world.policy, endpoints=endpoints)
    servicer = make_servicer(replace(world, policy=policy), ledger=MemoryLedger(clock))
    brief = pb.ConsumeRequest()
    brief.CopyFrom(CHARGE)
    brief.hold_seconds = 1
    taken = await servicer.consume(brief)
    clock.us += 59 * SECOND
    assert not (await servicer.consume(brief)).admitted
    assert (await servicer.settle(pb.SettleRequest(reservation=taken.reservation, cost=1))).settled
    assert (await servicer.consume(brief)).admitted


async def test_a_large_document_is_read_beside_the_event_loop(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: set[int] = set()
    finish = JsonBody.finish

    def spy(body: JsonBody) -> bytes:
        threads.add(threading.get_ident())
        return finish(body)

    monkeypatch.setattr(JsonBody, "finish", spy)
    document = json.dumps(["ada@example.com " * 10_000])
    message = pb.FilterTextRequest(text=document, selection=PII, content_type="application/json")
    answer = await make_servicer(world).filter_text(message)
    assert "ada@" not in answer.text
    assert threads.isdisjoint({threading.get_ident()})
