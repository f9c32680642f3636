"""The RPC that turns pseudonyms back: refusals are answers, and what is no call at all is an error."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from tidegate.api import tidegate_pb2 as pb
from tidegate.filtering.sealed import MAX_PSEUDONYM, Opened
from tidegate.model import Deny, Reason, Request

from tests.api.calls import ask, channel_to
from tests.client.world import World, make_servicer

CALL = pb.RevealRequest(
    request_id="r7",
    pseudonym="[EMAIL_x]",
    reason="case 17",
    headers=[pb.Header(name="Authorization", value="Bearer k")],
)


class Spy:
    def __init__(self, answer: Opened | Deny) -> None:
        self.answer = answer
        self.calls: list[tuple[Request | Deny, str, str, str]] = []

    async def reveal(self, *call: Any) -> Opened | Deny:
        self.calls.append(call)
        return self.answer


async def reveal(world: World, call: pb.RevealRequest, answer: Opened | Deny) -> tuple[pb.RevealResponse, Spy]:
    spy = Spy(answer)
    async with channel_to(make_servicer(world, revealer=spy)) as channel:
        return await ask(channel, "Reveal", call, pb.RevealResponse), spy


async def test_a_value_is_told_with_its_kind(world: World) -> None:
    answer, spy = await reveal(world, CALL, Opened("EMAIL", "bob@example.com"))
    assert (answer.revealed.entity, answer.revealed.value) == ("EMAIL", "bob@example.com")
    assert (answer.request_id, answer.policy_version) == ("r7", world.policy.version)
    request, *asked = spy.calls[0]
    assert isinstance(request, Request)
    assert request.headers["authorization"] == "Bearer k"
    assert asked == ["[EMAIL_x]", "case 17", "r7"]


async def test_a_refusal_is_an_answer_and_its_detail_stays_inside(world: World) -> None:
    deny = Deny(403, Reason.ACCESS_DENIED, "You may not.", detail="none of the roles")
    answer, _ = await reveal(world, CALL, deny)
    assert not answer.HasField("revealed")
    assert (answer.deny.http_status, answer.deny.reason) == (403, "access_denied")
    assert "roles" not in str(answer)


async def test_two_credentials_are_a_refused_call_and_not_an_unnoticed_one(world: World) -> None:
    twice = pb.RevealRequest(pseudonym="[EMAIL_x]", reason="case 17", headers=[CALL.headers[0], CALL.headers[0]])
    answer, spy = await reveal(world, twice, Deny(400, Reason.REQUEST_MALFORMED, "No."))
    assert isinstance(spy.calls[0][0], Deny)
    assert answer.deny.http_status == 400
    assert answer.request_id == spy.calls[0][3] != ""


async def test_a_text_that_is_too_long_is_cut_to_what_is_no_pseudonym_either(world: World) -> None:
    long = pb.RevealRequest(pseudonym="[EMAIL_" + "a" * 100_000 + "]", reason="case 17")
    _, spy = await reveal(world, long, Deny(404, Reason.PSEUDONYM_UNKNOWN, "No."))
    assert len(spy.calls[0][1]) == MAX_PSEUDONYM + 1


@pytest.mark.parametrize("reason", ["", "   ", "two\nlines", "x" * 501, "\x1b[2J"])
async def test_without_a_reason_that_can_be_put_on_record_it_is_no_call(world: World, reason: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await reveal(world, pb.RevealRequest(pseudonym="[EMAIL_x]", reason=reason), Opened("EMAIL", "bob"))
    assert failure.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_an_engine_without_keys_reveals_nothing(world: World) -> None:
    async with channel_to(make_servicer(world)) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await ask(channel, "Reveal", CALL, pb.RevealResponse)
    assert failure.value.code() is grpc.StatusCode.INVALID_ARGUMENT
