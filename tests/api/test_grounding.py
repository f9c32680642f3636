"""References through our own API: what Decide read of a request is known to the replica that carries the exchange."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tidegate.api import tidegate_pb2 as pb
from tidegate.errors import ProtocolViolation
from tidegate.filtering.grounding import known_of, packed, unpacked

from tests.api.test_exchange import body, carried, request
from tests.client.sites import POLICY
from tests.client.world import World, make_servicer, make_world

ASKED = json.dumps({"model": "small", "prompt": "What says https://docs.example/a?"}).encode()
SAID = json.dumps({"text": "https://docs.example/a says so, and https://docs.example/b too"}).encode()
JSON = pb.ExchangeRequest(head=pb.ExchangeRequest.Head(status=200, content_type="application/json"))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    policy = POLICY.replace("  pii: [", "  pii: [{detect: [UNGROUNDED_URL], act: redact}, ", 1)
    assert policy != POLICY
    return make_world(Path(tmp_path_factory.mktemp("grounding")), policy)


async def answered(world: World, asked: bytes, **headers: str) -> Any:
    """What leaves of the answer, which another replica than the one that decided lets out."""
    decided = request(world, **headers)
    decided.body = asked
    answer = await make_servicer(world).decide(decided)
    opening = pb.ExchangeRequest(open=pb.ExchangeRequest.Open(handoff=answer.allow.handoff))
    given = await carried(make_servicer(world), opening, JSON, body(SAID, end=True))
    return json.loads(b"".join(one.body for one in given))["text"]


async def test_the_answer_may_refer_to_what_the_request_does(world: World) -> None:
    assert await answered(world, ASKED) == "https://docs.example/a says so, and [UNGROUNDED_URL] too"


async def test_of_a_body_that_is_compressed_nothing_is_known(world: World) -> None:
    told = await answered(world, ASKED, content_encoding="gzip")
    assert told == "[UNGROUNDED_URL] says so, and [UNGROUNDED_URL] too"


def test_references_survive_the_way_and_nothing_else_is_taken_for_them() -> None:
    known = known_of(ASKED + b" https://docs.example/c")
    assert unpacked(packed(known)) == known
    assert unpacked("") == frozenset()
    for word in ("x", "AAAA", "\u00e9"):
        with pytest.raises(ValueError):
            unpacked(word)


async def test_a_word_that_was_changed_on_the_way_opens_nothing(world: World) -> None:
    answer = await make_servicer(world).decide(request(world))
    opening = pb.ExchangeRequest(open=pb.ExchangeRequest.Open(handoff=answer.allow.handoff + "x"))
    with pytest.raises(ProtocolViolation):
        await carried(make_servicer(world), opening, JSON)
