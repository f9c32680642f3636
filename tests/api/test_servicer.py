"""The servicer on a real grpc.aio server, called with bare messages: all is served, and a failure is a status."""

from __future__ import annotations

from types import SimpleNamespace

import grpc
import pytest
from tidegate.admission.memory import MemoryLedger
from tidegate.api import tidegate_pb2 as pb
from tidegate.api.faults import InvalidCall, fault_of
from tidegate.api.servicer import SERVICE
from tidegate.clock import SystemClock
from tidegate.errors import BodyTooLarge, MalformedBody, PolicyError, ProtocolViolation, StoreUnavailable, TidegateError

from tests.api.calls import CHARGE, ask, channel_to
from tests.client.world import SpyLedger, World, make_servicer


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
